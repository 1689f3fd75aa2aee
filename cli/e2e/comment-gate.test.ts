import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import {
  base,
  clearml,
  directory,
  driver,
  GATED,
  github,
  head,
  judge,
  later,
  older,
  setUpGates,
  type Training,
  train,
  trainSeeds,
} from './comment-gate-setup.ts';

setUpGates();

test('a metric that blocks is named before one that only warns', async () => {
  await trainSeeds(base, [0.9, 0.91, 0.905]);
  const tasks = await trainSeeds(head, [0.7, 0.71, 0.705]);
  for (const id of tasks.split(' ')) await driver.reportScalars(id, 'a', 'warned', [0.1]);
  for (const { id } of (await driver.listTasks()).filter(({ script }) => script?.version_num === base))
    await driver.reportScalars(id, 'a', 'warned', [0.9]);
  const warned = '{ metric: a/warned, goal: maximize, tolerance: 0.1, gate: warn }';
  const { exitCode, body } = await judge(tasks, GATED.replace('[', `[${warned}, `));
  expect(exitCode).toBe(5);
  expect(body).toContain('### ❌ **Regression**: `train`: `test/accuracy` **0.705**');
});

test('an undecided metric that blocks leads before a regression that only warns', async () => {
  const baseTask = await train(base, [0.9], { end: 'none' });
  const task = await train(head, [0.8], { end: 'none' });
  await driver.reportScalars(baseTask, 'a', 'warned', [0.9]);
  await driver.reportScalars(task, 'a', 'warned', [0.1]);
  for (const id of [baseTask, task]) await driver.completeTask(id);
  const warned = '{ metric: a/warned, goal: maximize, tolerance: 0.1, gate: warn }';
  const { exitCode, verdict, body } = await judge(task, GATED.replace('[', `[${warned}, `));
  expect({ exitCode, verdict }).toEqual({ exitCode: 6, verdict: 'regression' });
  expect(body).toMatch(
    /### ❓ \*\*Undecided\*\*: `train`: `test\/accuracy` .* against `main`; regression \(a warning only\): `a\/warned`$/m,
  );
});

test('each gated metric has one row in the whole comment, however many there are', async () => {
  const names = Array.from({ length: 25 }, (_, index) => `class_${index}`);
  const tasks = { base: await train(base, []), head: await train(head, []) };
  for (const name of names) {
    await driver.reportScalars(tasks.base, 'recall', name, [0.9]);
    await driver.reportScalars(tasks.head, 'recall', name, [name === 'class_7' ? 0.1 : 0.9]);
  }
  await driver.reportScalars(tasks.head, 'epoch', 'time', [3]);
  const rules = 'metrics: [{ metric: recall/*, goal: maximize, tolerance: 0.1, gate: fail }]';
  const { exitCode, body } = await judge(tasks.head, rules);
  expect(exitCode).toBe(5);
  const rows = [...body.matchAll(/^\| `(recall\/\w+)` \| (\S+) \|/gm)].map(([, name, verdict]) => [
    name,
    verdict,
  ]);
  expect(rows[0]).toEqual(['recall/class_7', '**regression**']);
  expect(rows.map(([name]) => name).sort()).toEqual(names.map((name) => `recall/${name}`).sort());
  expect(body).toContain(
    '| `recall/class_7` | **regression** | **0.1** | 0.9 | -0.8 (-88.9%) **▼\u00a0worse** | unknown |',
  );
});

test('a template of one’s own may show the gate’s table apart, or its words alone', async () => {
  await trainSeeds(base, [0.9, 0.91, 0.905]);
  const tasks = await trainSeeds(head, [0.7, 0.71, 0.705]);
  writeFileSync(join(directory, 'own.md'), '{{gate}}\n\n---\n\n{{judgement}}');
  const { body } = await judge(tasks, GATED, ['--template', 'own.md']);
  const [apart = '', alone = ''] = body.split('\n---\n');
  expect(apart).toMatch(
    /^\| Gated metric \| Verdict \|.*\n.*\n\| `test\/accuracy` \| \*\*regression\*\* \| 0\.705 \|.*t-test/m,
  );
  expect(alone.trim()).toMatch(/^- `test\/accuracy`: Worse by 0\.2\./);
});

test('a change within the noise passes, and says what it could have missed', async () => {
  await trainSeeds(base, [0.9, 0.91, 0.92]);
  const { exitCode, verdict, body, metrics } = await judge(await trainSeeds(head, [0.899, 0.909, 0.921]));
  expect({ exitCode, verdict }).toEqual({ exitCode: 0, verdict: 'pass' });
  expect(metrics[0].verdict).toBe('pass');
  expect(body).toContain('### ✅ **Pass**: `train`');
  expect(body).toMatch(/These runs detect a loss of 0\.0\d+ in 4 of 5 cases/);
});

test('a gate that only warns, and --no-gate, say regression and exit 0', async () => {
  await trainSeeds(base, [0.9, 0.91, 0.905]);
  const tasks = await trainSeeds(head, [0.7, 0.71, 0.705]);
  const warned = await judge(tasks, GATED.replace('fail', 'warn'));
  expect(warned).toMatchObject({ exitCode: 0, verdict: 'regression' });
  expect(warned.body).toContain('### 🔔 **Regression** (a warning only): `train`');
  expect(await judge(tasks, GATED, ['--no-gate'])).toMatchObject({ exitCode: 0, verdict: 'regression' });
});

test('a pull request that leaves the training alone passes: what the base branch lost is not held against it', async () => {
  await train(older, [0.95]);
  // Launched for the pull request, the base commit's own task was found: nothing of `paths` had changed.
  const reused = await train(base, [0.9]);
  const settings = GATED.replace('gate:', 'tolerance: 0.02, gate:');
  const { exitCode, verdict, body } = await judge(reused, settings);
  expect({ exitCode, verdict }).toEqual({ exitCode: 0, verdict: 'pass' });
  expect(body).toContain('The same code and settings as `main` at');
  expect(body).toContain(
    'The same code and settings as the base: nothing has changed. Not tested, 1 run against 1 run.',
  );
});

test('what the base has not yet, blocks nothing; what it has elsewhere, is undecided', async () => {
  const tasks = await trainSeeds(head, [0.7, 0.71]);
  const first = await judge(tasks);
  expect(first).toMatchObject({ exitCode: 0, verdict: 'none' });
  expect(first.body).toContain('### 🏁 **Not judged**: `train`: `test/accuracy`');
  expect(first.body).toContain('The base branch has no history yet');
  await train(later, [0.9]);
  const second = await judge(tasks);
  expect(second).toMatchObject({ exitCode: 6, verdict: 'undecided' });
  expect(second.body).toContain('but at no commit that was searched');
});

test('the first day is said once for all gated metrics, without a row that tells nothing', async () => {
  const rules =
    'metrics: [{ metric: test/accuracy, goal: maximize, gate: fail }, { metric: test/loss, goal: minimize, gate: fail }]';
  const task = await train(head, [0.7]);
  await driver.reportScalars(task, 'test', 'loss', [0.5]);
  const { exitCode, verdict, body } = await judge(task, rules);
  expect({ exitCode, verdict }).toEqual({ exitCode: 0, verdict: 'none' });
  expect(body.match(/The base branch has no history yet/g)).toHaveLength(1);
  expect(body).toContain(
    '**This is the first result:** no earlier training of `main` was found. The base branch has no history yet, so there is nothing to compare with. A single run does not show how much runs differ by chance; several seeds would. Merging this pull request gives the next one its baseline.',
  );
  expect(body).toContain('| Metric | Value |\n| - | -: |\n| `test/accuracy` | **0.7** |');
  expect(body).not.toMatch(/none of the|The gate|\| – \|/);
});

test('a problem of the first training itself is not lost', async () => {
  const { verdict, body } = await judge(
    await train(head, [0.7]),
    GATED.replace('[', '[{ metric: no/such, goal: maximize, gate: fail }, '),
  );
  expect(verdict).toBe('undecided');
  expect(body).toContain('This is the first result');
  expect(body).toContain('| `no/such` | **undecided** |');
  expect(body).toMatch(/^- `no\/such`: A task did not report it/m);
});

test.each(['failed', 'none'] as const)('a base commit whose training is %s is no first day', async (end) => {
  await train(base, [0.9], { end });
  const { body } = await judge(await train(head, [0.7]));
  expect(body).not.toContain('first result');
  expect(body).toContain(end === 'failed' ? 'none of the 2 commits' : 'is still being trained');
});

test('a branch that was trained only in pull requests is one with a history, for a pull request off an older commit', async () => {
  // What the launch on a push leaves where it reuses the merged pull request's task: nothing of its own.
  const merged = { branch: 'other-topic', event: 'pull_request' };
  await train(later, [0.9], { ...merged, commit: 'd'.repeat(40) });
  expect(await judge(await train(head, [0.1]))).toMatchObject({ exitCode: 6, verdict: 'undecided' });
});

test('trials on the base branch, however many, hide no history', async () => {
  await train('e'.repeat(40), [0.9], { tree: 'e'.repeat(40) });
  for (let count = 0; count < 21; count += 1)
    await train(later, [0.9], { seed: count, event: 'workflow_dispatch' });
  expect(await judge(await train(head, [0.1]))).toMatchObject({ exitCode: 6, verdict: 'undecided' });
});

test('a base commit that is still being trained is waited for: undecided until it has ended', async () => {
  await train(older, [0.8]);
  const running = await train(base, [0.1], { end: 'none' });
  const task = await train(head, [0.85]);
  const settings = `${GATED.replace('gate:', 'tolerance: 0.02, gate:')}\nbaseline: { runs: 1 }`;
  const early = await judge(task, settings);
  expect(early).toMatchObject({ exitCode: 6, verdict: 'undecided' });
  expect(early.body).toContain('**A base commit is still being trained.**');
  expect(early.body).toContain('or stop it if it should not count');
  await driver.reportScalars(running, 'test', 'accuracy', [0.95]);
  await driver.completeTask(running);
  const late = await judge(task, settings);
  expect(late).toMatchObject({ exitCode: 5, verdict: 'regression' });
  expect(late.body).not.toContain('still being trained');
});

test('base seeds that still run are waited for, until as many have ended as the pull request has', async () => {
  const settings = GATED.replace('gate:', 'tolerance: 0.02, gate:');
  await train(base, [0.7]);
  const second = await train(base, [0.1], { seed: 2, end: 'none' });
  await train(base, [0.1], { seed: 3, end: 'none' });
  const one = await train(head, [0.7]);
  const two = `${one} ${await train(head, [0.71], { seed: 2 })}`;
  const early = await judge(two, settings);
  expect(early).toMatchObject({ exitCode: 6, verdict: 'undecided' });
  expect(early.body).toContain('**The base commit has unfinished runs.**');
  expect(early.body).toContain('or stop it if it should not count');
  expect(await judge(one, settings)).toMatchObject({ exitCode: 0, verdict: 'pass' });
  await driver.reportScalars(second, 'test', 'accuracy', [0.95]);
  await driver.completeTask(second);
  // The third is told, and no reason to wait.
  const late = await judge(two, settings);
  expect(late.body).toContain('**The base commit has unfinished runs.**');
  expect(late.body).not.toContain('The base commit is still being trained');
});

test('the first base commit of all, while it is being trained, is waited for too', async () => {
  await train(base, [0.1], { end: 'none' });
  const { exitCode, body } = await judge(await train(head, [0.85]));
  expect(exitCode).toBe(6);
  expect(body).toContain('**No baseline yet.**');
});

test('without a baseline nothing is compared, and a metric that is there blocks nothing', async () => {
  expect(await judge(await train(head, [0.7]), `${GATED}\nbaseline: none`)).toMatchObject({
    exitCode: 0,
    verdict: 'none',
  });
});

test.each<[string, string, { readonly settings?: string; readonly training?: Training }]>([
  ['a metric that was not reported', 'did not report it', { training: { metric: ['other', 'x'] } }],
  [
    'a metric that a pattern gates and only the base still has',
    'did not report it',
    { settings: GATED.replace('test/accuracy', 'test/*'), training: { metric: ['test', 'other'] } },
  ],
  ['noise that nobody knows', 'launch with seeds, or set a tolerance', {}],
  [
    'a loss that these runs can’t show',
    'more seeds would tell',
    { settings: GATED.replace('gate:', 'tolerance: 0.05, detect: 0.06, gate:') },
  ],
])('%s is undecided: exit code 6', async (_, words, { settings = GATED, training = {} }) => {
  await train(base, [0.9]);
  const { exitCode, verdict, body } = await judge(await train(head, [0.89], training), settings);
  expect({ exitCode, verdict }).toEqual({ exitCode: 6, verdict: 'undecided' });
  expect(body).toContain('### ❓ **Undecided**: `train`');
  expect(body).toContain(words);
});

test('a failed run is never a pass, whatever the others say', async () => {
  await trainSeeds(base, [0.9, 0.91]);
  const good = await trainSeeds(head, [0.95, 0.96]);
  const bad = await train(head, [0.97], { seed: 3, end: 'failed' });
  expect(await judge(`${good} ${bad}`)).toMatchObject({ exitCode: 6, verdict: 'failed' });
});

const LOSS = 'metrics: [{ metric: test/loss, goal: minimize, tolerance: 0.1, gate: fail }]';
const WARNING =
  "2026-01-01 00:00:00,000 - clearml - WARNING - NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to assign another value";

test('a diverged loss, which arrives as 0, is no perfect one: the console is read', async () => {
  const metric = ['test', 'loss'] as const;
  await train(base, [2, 1, 0.5], { metric });
  const { exitCode, verdict, body, metrics } = await judge(
    await train(head, [2, 1.9, 0], { metric, log: [WARNING] }),
    LOSS,
  );
  expect({ exitCode, verdict }).toEqual({ exitCode: 6, verdict: 'undecided' });
  expect(metrics[0]).toMatchObject({ value: null, verdict: 'undecided' });
  expect(body).toContain('`test/loss` was not a number (reported as 0)');
  expect(body).toContain('had NaN or an infinity');
});

test.each<readonly [what: string, values: readonly number[], goal: string, messages: number]>([
  ['a loss early, before a long log', [2.3, 1.1, 0, 0, 0, 0], 'minimize', 200],
  ['a loss in its last step', [2.3, 0.9, 0], 'minimize', 200],
  ['a loss before a log of several pages', [2.3, 1.1, 0, 0], 'minimize', 4500],
  ['a reward, which is perfect at 0 too', [-200, -150, -120, 0, 0, 0], 'maximize', 200],
])('a NaN is no perfect result: %s', async (_, values, goal, messages) => {
  const metric = ['test', 'loss'] as const;
  const log = [WARNING, ...Array.from({ length: messages }, (__, index) => `step ${index}`)];
  await train(base, [2.3, 1.1, 0.6, 0.5, 0.5, 0.5], { metric });
  const { exitCode, body } = await judge(
    await train(head, values, { metric, log }),
    LOSS.replace('minimize', goal),
  );
  expect(exitCode).toBe(6);
  expect(body).toContain('had NaN or an infinity');
});

test('a console that ClearML does not give leaves a 0 doubted', async () => {
  const metric = ['test', 'loss'] as const;
  await train(base, [2, 1, 0.5], { metric });
  const task = await train(head, [2, 1, 0.01, 0.001, 0], { metric });
  const proxy = await startFaultProxy(clearml.apiHost, ({ path }) =>
    path.endsWith('/events.get_task_log') ? { kind: 'answer', status: 404, body: '{}' } : undefined,
  );
  const { exitCode, body } = await judge(task, LOSS, [], { CLEARML_API_HOST: proxy.url });
  await proxy.close();
  expect(exitCode).toBe(6);
  expect(body).toContain('the console could not be read completely');
});

test.each<readonly [where: string, values: readonly number[]]>([
  ['where the curve leaps to it', [2, 1.9, 0.01]],
  ['where it has stayed there since', [2, 1.9, 0.01, 0.01]],
])('a number that the training chose in the place of NaN is found %s', async (_, values) => {
  const metric = ['test', 'loss'] as const;
  await train(base, [2, 1, 0.5], { metric });
  const { exitCode, body } = await judge(
    await train(head, values, { metric, log: [WARNING.replace("'0.0'", "'0.01'")] }),
    LOSS,
  );
  expect(exitCode).toBe(6);
  expect(body).toContain('had NaN or an infinity');
});

test('two metrics whose titles and series join to one gated name are undecided', async () => {
  const settings = 'metrics: [{ metric: test/acc/top1, goal: maximize, tolerance: 0.1, gate: fail }]';
  await train(base, [0.9], { metric: ['test', 'acc/top1'] });
  const task = await train(head, [0.5], { metric: ['test', 'acc/top1'] });
  expect(await judge(task, settings)).toMatchObject({ exitCode: 5 });
  await driver.reportScalars(task, 'test/acc', 'top1', [0.99]);
  const { exitCode, body } = await judge(task, settings);
  expect(exitCode).toBe(6);
  expect(body).toContain('two metrics of this name');
});

test('seeds that agree in the gated metric and differ in another one are used', async () => {
  const trainBoth = async (commit: string, losses: readonly number[]) => {
    const tasks: string[] = [];
    for (const [index, loss] of losses.entries()) {
      const task = await train(commit, [0.9], { seed: index + 1 });
      await driver.reportScalars(task, 'test', 'loss', [loss]);
      tasks.push(task);
    }
    return tasks.join(' ');
  };
  const settings = GATED.replace('gate:', 'tolerance: 0.02, gate:');
  await trainBoth(base, [0.5, 0.6, 0.7]);
  expect((await judge(await trainBoth(head, [0.51, 0.61, 0.71]), settings)).body).not.toContain(
    'does not seem to use its seed',
  );
});

test('a loss that comes down to 0 is one', async () => {
  const metric = ['test', 'loss'] as const;
  await train(base, [2, 1, 0.5], { metric });
  const { exitCode, verdict } = await judge(
    await train(head, [2, 1, 0.01, 0.001, 0], { metric, log: ['epoch 1'] }),
    LOSS,
  );
  expect({ exitCode, verdict }).toEqual({ exitCode: 0, verdict: 'pass' });
});

test('a fixed anchor beside the branch catches what the branch let by', async () => {
  await train(older, [0.95], { tags: [directory] });
  await train(base, [0.9]);
  const settings = `${GATED.replace('gate:', 'tolerance: 0.02, gate:')}\nbaseline: [{ runs: 1 }, { tag: "${directory}" }]`;
  const { exitCode, verdict, body, metrics } = await judge(await train(head, [0.91]), settings);
  expect({ exitCode, verdict }).toEqual({ exitCode: 5, verdict: 'regression' });
  // Better than the branch: told is what the verdict is due to.
  expect(body).toContain(
    `**Regression**: \`train\`: \`test/accuracy\` **0.91**, -0.04 (worse) against \`${directory}\``,
  );
  expect(metrics).toMatchObject([{ baseline: 0.95, change: expect.closeTo(-0.04), verdict: 'regression' }]);
  expect(body).toContain('`test/accuracy` against `main` | pass |');
  expect(body).toContain(`against \`${directory}\` | **regression** |`);
});

test('a fixed anchor is all seeds of the commit that carries the tag, and others with it are counted', async () => {
  await trainSeeds(older, [0.7, 0.71], { tags: [directory] });
  await trainSeeds(base, [0.9, 0.91, 0.92], { tags: [directory] });
  const tasks = await trainSeeds(head, [0.8, 0.81, 0.82]);
  const { exitCode, stdout, body } = await judge(tasks, `${GATED}\nbaseline: { tag: "${directory}" }`, [
    '--json',
  ]);
  expect(exitCode).toBe(5);
  const [comparison] = JSON.parse(stdout).gate.metrics[0].comparisons;
  expect(comparison).toMatchObject({ rule: 'pooled', runs: { pullRequest: 3, base: 3 } });
  expect(comparison.base).toBeCloseTo(0.91);
  expect(body).toMatch(
    /Compared with the tag `.*` at .*, launched on `push`: seeds \[`1`\]\(.*\), \[`2`\]\(.*\), \[`3`\]\(.*\), the newest with this tag \(2 older\)/,
  );
});

test('a fixed anchor is judged with all its seeds, by the noise that the branch tells too', async () => {
  await trainSeeds(older, [0.9, 0.91, 0.92], { tags: [directory] });
  await trainSeeds(base, [0.901, 0.911, 0.921]);
  const settings = `${GATED}\nbaseline: [{ runs: 1 }, { tag: "${directory}" }]`;
  const { exitCode, stdout } = await judge(await trainSeeds(head, [0.895, 0.905, 0.915]), settings, [
    '--json',
  ]);
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout).gate.metrics[0].comparisons).toMatchObject([
    { verdict: 'pass', runs: { pullRequest: 3, base: 3 }, noise: { degreesOfFreedom: 6 } },
    { verdict: 'pass', runs: { pullRequest: 3, base: 3 }, noise: { degreesOfFreedom: 6 } },
  ]);
});

test('the history ends after as many commits as the settings say', async () => {
  await train(older, [0.8]);
  await train(base, [0.9]);
  const task = await train(head, [0.9]);
  const countHistory = async (runs: number) => {
    const settings = `${GATED.replace('gate:', 'tolerance: 0.02, gate:')}\nbaseline: { runs: ${runs} }`;
    const { stdout } = await judge(task, settings, ['--json']);
    return JSON.parse(stdout).gate.metrics[0].comparisons[0].history;
  };
  expect(await countHistory(1)).toEqual([0.9]);
  expect(await countHistory(10)).toEqual([0.9, 0.8]);
});

test('a gated report asks ClearML and GitHub no more often than one without a gate', async () => {
  await trainSeeds(older, [0.8, 0.81, 0.82]);
  await trainSeeds(base, [0.9, 0.91, 0.92]);
  const tasks = await trainSeeds(head, [0.9, 0.91, 0.92]);
  const count = async (settings: string) => {
    const toClearml = await startFaultProxy(clearml.apiHost, () => undefined);
    const toGithub = await startFaultProxy(github.apiUrl, () => undefined);
    await judge(tasks, settings, [], { CLEARML_API_HOST: toClearml.url, GITHUB_API_URL: toGithub.url });
    const counts = [toClearml.seen.length, toGithub.seen.length];
    await Promise.all([toClearml.close(), toGithub.close()]);
    return counts;
  };
  await count(GATED);
  expect(await count(GATED)).toEqual(await count('metrics: [{ metric: test/accuracy, goal: maximize }]'));
});
