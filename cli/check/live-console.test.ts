import { expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import type { Voice } from '../shell/program.ts';
import { createLiveConsole } from './live-console.ts';

/** A console on a terminal; gives what is drawn. */
function openTerminal(columns: number) {
  const drawn: string[] = [];
  const voice: Voice = {
    result: () => undefined,
    say: (text) => void drawn.push(`${text}\n`),
    warn: (text) => void drawn.push(`warning: ${text}\n`),
    annotate: () => undefined,
    isTerminal: true,
    isColored: false,
    columns,
    draw: (text) => void drawn.push(text),
  };
  const clock = createSimulatedClock();
  return { drawn, clock, out: createLiveConsole({ voice, env: {}, clock }, 1) };
}

test.each([
  ['running for 1m 23s', 'running for'],
  ['训练 accuracy 0.93', '训练 accura'],
  ['训练训练训练训练', '训练训练训'],
  ['👍👍👍👍👍👍👍', '👍👍👍👍👍'],
  ['가나다라마바사', '가나다라마'],
  ['ｔｒａｉｎｉｎｇ', 'ｔｒａｉｎ'],
  ['short', 'short'],
])('the live line fits the terminal, where wide characters take two columns: %s', (text, shown) => {
  const { out, drawn } = openTerminal(12);
  out.showProgress({ text, facts: text });
  expect(drawn).toEqual([shown]);
});

test('the live line makes way for what is said, and comes back under it', () => {
  const { out, drawn } = openTerminal(80);
  out.showProgress({ text: 'running', facts: '' });
  out.say('a word');
  out.printLog('Log', ['a line']);
  out.showProgress(undefined);
  out.say('the end');
  expect(drawn.join('')).toBe(
    'running\r\u001b[2Ka word\nrunning\r\u001b[2Ka line\nrunning\r\u001b[2Kthe end\n',
  );
});

/** Lines of a log, what we say in between, and the groups, as the runner takes them. */
function readGroups(output: string) {
  const groups: Array<{ title: string; lines: string[] }> = [];
  const outside: string[] = [];
  let token: string | undefined;
  for (const line of output.trimEnd().split('\n')) {
    if (token !== undefined) {
      if (line === `::${token}::`) token = undefined;
      else groups.at(-1)?.lines.push(line);
    } else if (line.startsWith('::group::')) groups.push({ title: line.slice(9), lines: [] });
    else if (line.startsWith('::stop-commands::')) token = line.slice(17);
    else if (line !== '::endgroup::') outside.push(line);
  }
  expect(token).toBeUndefined();
  return { groups, outside };
}

/** Two minutes in Actions: each task prints every two seconds, and there is news of all. */
async function waitInActions(titles: readonly string[]) {
  const clock = createSimulatedClock();
  let output = '';
  const write = (text: string) => {
    output += text;
  };
  const voice: Voice = {
    result: () => undefined,
    say: (text) => write(`${text}\n`),
    warn: (text) => write(`::warning::${text}\n`),
    annotate: (level, text) => write(`::${level}::${text}\n`),
    isTerminal: false,
    isColored: false,
    columns: 80,
    draw: write,
  };
  const out = createLiveConsole({ voice, env: { GITHUB_ACTIONS: 'true' }, clock }, titles.length);
  out.showProgress({ text: 'running', facts: 'running' });
  for (let nth = 1; nth <= 60; nth += 1) {
    for (const title of titles) out.printLog(title, [`${title} ${nth}`, '::error::not ours']);
    out.showProgress({ text: `running, iteration ${nth}`, facts: `${nth}` });
    await clock.sleep(2000);
  }
  for (const title of titles) {
    out.endLog(title);
    out.say(`${title} has ended`);
  }
  out.close();
  return readGroups(output);
}

const linesOf = (title: string) =>
  Array.from({ length: 60 }, (_, index) => [`${title} ${index + 1}`, '::error::not ours']).flat();

test('in Actions the log of one task is one group, whatever is said of its progress', async () => {
  const { groups, outside } = await waitInActions(['a']);
  expect(groups.map(({ title }) => title)).toEqual(['a']);
  const isProgress = (line: string) => line.startsWith('running');
  expect(groups[0]?.lines.filter((line) => !isProgress(line))).toEqual(linesOf('a'));
  expect([...outside, ...(groups[0]?.lines ?? [])].filter(isProgress)).toHaveLength(4);
  expect(outside).toEqual(['running', 'a has ended']);
});

test('in Actions each log of several tasks is one group, and their progress is seen outside', async () => {
  const { groups, outside } = await waitInActions(['a', 'b', 'c']);
  expect(groups).toEqual(['a', 'b', 'c'].map((title) => ({ title, lines: linesOf(title) })));
  expect(outside).toEqual([
    'running',
    ...[16, 31, 46].map((nth) => `running, iteration ${nth}`),
    'a has ended',
    'b has ended',
    'c has ended',
  ]);
});

test('in Actions what another program printed and a reminder leave the log one group, and the runner obeys the former', () => {
  let output = '';
  const write = (text: string) => {
    output += text;
  };
  const voice = { draw: write, say: (text: string) => write(`${text}\n`) } as unknown as Voice;
  const clock = createSimulatedClock();
  const out = createLiveConsole({ voice, env: { GITHUB_ACTIONS: 'true' }, clock }, 1);
  out.printLog('a', ['first']);
  out.relay('::warning::of another program');
  out.remind('Still running');
  out.printLog('a', ['second']);
  out.close();
  const lines = output.trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('::group::'))).toHaveLength(1);
  const token = /^::stop-commands::(.*)$/m.exec(output)?.[1];
  const [from, to] = [lines.indexOf('first'), lines.indexOf('second')];
  expect(lines.slice(from, to + 1)).toEqual([
    'first',
    `::${token}::`,
    '::warning::of another program',
    `::stop-commands::${token}`,
    'Still running',
    'second',
  ]);
});

test('on a terminal the live line counts as news, and a reminder stands above it', async () => {
  const { out, drawn, clock } = openTerminal(80);
  await clock.sleep(1000);
  out.showProgress({ text: 'running', facts: '' });
  expect(out.printedAtMs).toBe(clock.now());
  out.remind('Still no answer');
  expect(drawn.join('')).toBe('running\r\u001b[2KStill no answer\nrunning');
});

test('in Actions logs that wait for their end are drawn when they grow too large, and when the wait breaks off', () => {
  let output = '';
  const draw = (text: string) => {
    output += text;
  };
  const voice = { draw, isTerminal: false } as unknown as Voice;
  const clock = createSimulatedClock();
  const out = createLiveConsole({ voice, env: { GITHUB_ACTIONS: 'true' }, clock }, 2);
  const line = 'x'.repeat(1024 * 1024);
  for (let count = 0; count < 20; count += 1) out.printLog('a', [line]);
  out.printLog('b', ['last']);
  const titles = () => readGroups(output).groups.map(({ title, lines }) => `${title} ${lines.length}`);
  out.close();
  expect(titles()).toEqual(['a 17', 'a 3', 'b 1']);
});
