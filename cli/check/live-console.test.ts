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
  return { drawn, out: createLiveConsole({ voice, env: {}, clock: createSimulatedClock() }) };
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
