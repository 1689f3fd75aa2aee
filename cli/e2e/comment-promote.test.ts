import { describe, expect, test } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { formatDue, keyOfDue } from '../training/due.ts';
import {
  clearml,
  commits,
  directory,
  driver,
  GATED,
  github,
  hashOwn,
  lastModelOf,
  mark,
  NEITHER,
  PREVIOUS,
  PRODUCTION,
  prepare,
  promote,
  readOutput,
  readSummary,
  replaceGithub,
  repository,
  setUpPromotions,
  type Training,
  tagsOf,
  train,
} from './promote-setup.ts';

setUpPromotions();

const [first, second, third] = commits;

describe('on a push', () => {
  test('the first model of all moves, and that nothing was compared is said', async () => {
    const task = await train(first, { models: ['early', 'late'] });
    const run = await promote(first, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await tagsOf(task)).toEqual(PRODUCTION);
    expect(readOutput('model-id')).toBe(await lastModelOf(task));
    for (const text of [run.stderr, run.summary]) expect(text).toContain('nothing was compared');
    // HTML ends at a blank line only.
    expect(run.summary).toContain('</details>\n\n### Promotion\n\n**Promoted.**');
  });

  test('a pass takes the tag from the model before, which is the way back', async () => {
    const [oldest, old, task] = [await train(first), await train(second), await train(third)];
    await promote(first, [oldest]);
    await promote(second, [old]);
    expect(await promote(third, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([oldest, old, task].map(tagsOf))).toEqual([NEITHER, PREVIOUS, PRODUCTION]);
  });

  test.each([
    ['a regression', GATED, 0.5, 'worse than the production model'],
    ['an undecided one', GATED.replace(', tolerance: 0.01', ''), 0.89, 'can’t say'],
  ])('of %s nothing moves, and that is said', async (_, settings, accuracy, words) => {
    const [old, task] = [await train(first), await train(second, { accuracy })];
    await promote(first, [old], { settings });
    const run = await promote(second, [task], { settings });
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
    for (const text of [run.stderr, run.summary]) expect(text).toContain(words);
  });

  test('where nothing is gated it moves, however bad', async () => {
    const [old, task] = [await train(first), await train(second, { accuracy: 0.1 })];
    await promote(first, [old], { settings: '' });
    expect(await promote(second, [task], { settings: '' })).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION]);
  });

  test('a step that is repeated says the same and changes nothing', async () => {
    const task = await train(first);
    await promote(first, [task]);
    const before = await driver.getTask(task);
    expect(await promote(first, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await driver.getTask(task)).toEqual(before);
  });

  test('an older commit that comes late leaves the newer one’s model', async () => {
    const [old, task] = [await train(first), await train(second)];
    await promote(second, [task]);
    const late = await promote(first, [old]);
    expect(late).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(late.stderr).toContain(`${first.slice(0, 10)} is older than the one in production`);
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([NEITHER, PRODUCTION]);
  });

  test('an older training of the same commit leaves the newer one’s model', async () => {
    const [old, task] = [await train(first), await train(first)];
    await promote(first, [task]);
    const run = await promote(first, [old]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain('or a newer training of this one, carries the tag');
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([NEITHER, PRODUCTION]);
  });

  test('a revert is a newer commit: its old task is promoted again', async () => {
    const [good, bad] = ['d', 'e'].map((text) => repository.commit('Train', { 'train.py': text })) as [
      string,
      string,
    ];
    const [old, task] = [await train(good), await train(bad)];
    await promote(good, [old]);
    await promote(bad, [task]);
    const revert = repository.commit('Revert', { 'train.py': 'd' });
    // The tree finds the old task.
    expect(await promote(revert)).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, PREVIOUS]);
  });

  test('a commit that is no longer on the branch moves nothing', async () => {
    const gone = 'e'.repeat(40);
    const task = await train(first, { runtime: { ci_use_branch: `${gone} main https://x.test/a.git` } });
    const run = await promote(gone, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain('not among the newest 100 commits of main');
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test('tasks of another commit move nothing', async () => {
    const task = await train(first);
    expect(await promote(third, [task])).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test.each([
    ['has not ended', 'none', 'has not ended'],
    ['failed', 'failed', 'did not complete'],
  ] as const)('a training that %s moves nothing', async (_, end, words) => {
    const task = await train(first, { end });
    const run = await promote(first, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain(words);
  });

  test('a training without a model moves nothing', async () => {
    const task = await train(first, { models: [] });
    const run = await promote(first, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain('has no output model');
    expect((await driver.getTask(task)).tags).toEqual([]);
  });

  test('of several seeds the first one’s model moves, and all of both sides are judged', async () => {
    const seeds = async (commit: string, accuracies: readonly number[]) => {
      const tasks: string[] = [];
      for (const [index, accuracy] of accuracies.entries())
        tasks.push(await train(commit, { accuracy, seed: index + 1 }));
      return tasks;
    };
    const settings = GATED.replace(', tolerance: 0.01', '');
    const old = await seeds(first, [0.9, 0.91, 0.92]);
    const tasks = await seeds(second, [0.905, 0.91, 0.92]);
    await promote(first, [old.join(' ')], { settings });
    expect(await promote(second, [], { settings })).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([...old, ...tasks].map(tagsOf))).toEqual([
      PREVIOUS,
      NEITHER,
      NEITHER,
      PRODUCTION,
      NEITHER,
      NEITHER,
    ]);
  });

  test('of single runs the branch’s commits behind the production model show the noise', async () => {
    const settings = GATED.replace(', tolerance: 0.01', '');
    const pushed: Array<readonly [commit: string, task: string]> = [];
    for (const [index, accuracy] of [0.9, 0.91, 0.9, 0.91, 0.9, 0.91, 0.905].entries()) {
      const commit = repository.commit('Train', { 'train.py': `noise ${index}` });
      pushed.push([commit, await train(commit, { accuracy })]);
    }
    const [[, production], [commit, task]] = pushed.slice(-2) as [(typeof pushed)[0], (typeof pushed)[0]];
    await mark(production);
    expect(await promote(commit, [task], { settings })).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([production, task].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION]);
  });

  test('without the setting nothing moves, and that is said', async () => {
    const task = await train(first);
    const run = await promote(first, [task], { setting: '' });
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain('the settings have no promote');
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test('a dry run moves nothing, and says what it would do', async () => {
    const task = await train(first);
    const run = await promote(first, [task, '--dry-run']);
    expect(run).toMatchObject({ exitCode: 0, promoted: undefined });
    expect(run.stderr).toContain('dry run');
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test('--json has it', async () => {
    const task = await train(first);
    const { stdout } = await promote(first, [task, '--json']);
    expect(JSON.parse(stdout).promotion).toMatchObject({
      tag: 'production',
      promoted: true,
      reason: 'first',
      commit: first,
      branch: 'main',
      task: { id: task },
      model: { id: await lastModelOf(task) },
      published: false,
      former: null,
    });
  });
});

describe('what no job waited for', () => {
  const FILE = '.github/clearml-ci.yml';

  /** A task of a push, with the launch's note. */
  const trainDue = (commit: string, training: Training = {}) => {
    const due = {
      to: commit,
      commit,
      launch: `due ${commit}`,
      count: 1,
      runId: '42',
      base: { event: 'push' as const, branch: 'main', previous: undefined },
      atMs: 1,
      timeoutMs: 1000,
      queueTimeoutMs: 1000,
      retries: 0,
      settings: FILE,
      context: undefined,
      isDetached: false,
    };
    const runtime = { ci_due: 'r', [keyOfDue(commit)]: formatDue(due), ...training.runtime };
    return train(commit, { ...training, runtime });
  };
  const tick = (commit: string, taskIds: string | readonly string[], flags: readonly string[] = []) => {
    const entries = [{ pullRequest: null, commit, taskIds: [taskIds].flat(), state: 'ended' }];
    const env = { ...prepare(undefined), GITHUB_EVENT_NAME: 'schedule', GITHUB_REF: 'refs/heads/main' };
    const args = ['--due', JSON.stringify(entries), '--config', 'settings.yml', ...flags];
    return runProgramHere(main, { args, env, cwd: directory, clock: createPatientClock() });
  };

  test('is promoted by the run that reports it, by the settings of the pushed commit', async () => {
    const settings = { [FILE]: `${GATED}promote: { tag: production }\n`, 'train.py': 'due' };
    const commit = repository.commit('Promote', settings);
    const old = await mark(await train(first));
    const task = await trainDue(commit);
    expect(await tick(commit, task)).toMatchObject({ exitCode: 0 });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION]);
    expect(readSummary()).toContain('**Promoted.**');
    expect((await driver.getTask(task)).tags).toContain('ci-reported');
  });

  test('is of the first seed, in whichever order the seeds are listed', async () => {
    const settings = { [FILE]: `${GATED}seeds: 2\npromote: { tag: production }\n`, 'train.py': 'seeds' };
    const commit = repository.commit('Promote', settings);
    const [one, two] = [await trainDue(commit, { seed: 1 }), await trainDue(commit, { seed: 2 })];
    expect(await tick(commit, [two, one])).toMatchObject({ exitCode: 0 });
    expect(await Promise.all([one, two].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
  });

  test('without the setting is only reported', async () => {
    const task = await trainDue(first);
    expect(await tick(first, task)).toMatchObject({ exitCode: 0 });
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test('of a pull request is never promoted', async () => {
    const task = await train(second, { event: 'pull_request', runtime: { ci_use_7: `${second} topic u` } });
    const entries = [{ pullRequest: 7, commit: second, taskIds: [task], state: 'ended' }];
    const args = ['--due', JSON.stringify(entries), '--promote', '--config', 'settings.yml', '--no-gate'];
    const env = { ...prepare(undefined), GITHUB_EVENT_NAME: 'schedule' };
    await runProgramHere(main, { args, env, cwd: directory, clock: createPatientClock() });
    expect(await tagsOf(task)).toEqual(NEITHER);
  });
});

describe('whose model it is:', () => {
  /** A task of a pull request, of a commit that no branch has. */
  const trainUnmerged = (training: Training = {}) => {
    const runtime = { ci_code: '9'.repeat(40) };
    return train('8'.repeat(40), { event: 'pull_request', accuracy: 0.99, runtime, ...training });
  };

  test('a clone that copied the tag is no production model, and its own model is left alone', async () => {
    const old = await train(first);
    await promote(first, [old]);
    const { id: clone } = await driver.call('tasks.clone', { task: old });
    const fields = { name: 'clone', uri: 'https://files.test/c', task: clone, tags: ['production'] };
    const { id: model } = await driver.call('models.create', fields);
    await driver.call('tasks.add_or_update_model', { task: clone, name: 'clone', model, type: 'output' });
    const task = await train(second);
    expect(await promote(second, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION]);
    expect(await tagsOf(clone)).toEqual(PRODUCTION);
  });

  test('another pipeline’s keeps its tag', async () => {
    const other = await train(first, {
      tags: ['production'],
      runtime: { ci_pipeline: await hashOwn('other') },
    });
    await driver.call('models.update_tags', { ids: [await lastModelOf(other)], add_tags: ['production'] });
    await promote(second, [await train(second)]);
    expect(await tagsOf(other)).toEqual(PRODUCTION);
  });

  test('what a pull request’s settings have tagged is none before the merge, and loses the tag', async () => {
    const forged = await trainUnmerged({ tags: ['production'] });
    const task = await train(first);
    expect(await promote(first, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([forged, task].map(tagsOf))).toEqual([NEITHER, PRODUCTION]);
  });

  test('a task that a person has tagged is what the first push is judged against', async () => {
    const old = await train(first, { tags: ['production'] });
    const task = await train(second, { accuracy: 0.1 });
    expect(await promote(second, [task])).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(await tagsOf(task)).toEqual(NEITHER);
    const better = await train(third, { accuracy: 0.95 });
    expect(await promote(third, [better])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await tagsOf(old)).toEqual(PREVIOUS);
  });

  /** As a person tags models on their pages. */
  const tagModel = async (
    task: string,
    tags: { readonly add_tags?: string[]; readonly remove_tags?: string[] },
  ) => driver.call('models.update_tags', { ids: [await lastModelOf(task)], ...tags });

  test.each(['push', 'pull_request'])(
    'a model that a person has tagged on its page is what the first push is judged against: of a %s',
    async (event) => {
      // What a pull request has trained is known by its files.
      const [older, old] = [await train(first, { event }), await train(first, { event })];
      for (const task of [older, old]) await tagModel(task, { add_tags: ['production'] });
      const worse = await train(second, { accuracy: 0.1 });
      expect(await promote(second, [worse])).toMatchObject({ exitCode: 0, promoted: 'false' });
      const better = await train(third, { accuracy: 0.95 });
      expect(await promote(third, [better])).toMatchObject({ exitCode: 0, promoted: 'true' });
      expect(await Promise.all([older, old, better].map(tagsOf))).toEqual([NEITHER, PREVIOUS, PRODUCTION]);
    },
  );

  test.each(['push', 'pull_request'])(
    'a model that a person has tagged on its page is the way back from one that is promoted by hand: of a %s',
    async (event) => {
      const [old, task] = [await train(first, { event }), await train(second)];
      await tagModel(old, { add_tags: ['production'] });
      expect(await promote(undefined, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
      expect(await Promise.all([old, task].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION]);
    },
  );

  test('by hand too, what the code of a pull request has tagged is no way back in place of the branch’s', async () => {
    const [old, task] = [await train(first), await train(second)];
    const forged = await trainUnmerged();
    for (const one of [old, forged]) await tagModel(one, { add_tags: ['production'] });
    expect(await promote(undefined, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([old, forged, task].map(tagsOf))).toEqual([PREVIOUS, NEITHER, PRODUCTION]);
  });

  test('a way back that a person has taken on the models’ pages counts', async () => {
    const [good, bad] = [await train(first), await train(second, { accuracy: 0.8 })];
    await promote(first, [good]);
    await promote(second, [bad], { settings: '' });
    await tagModel(bad, { remove_tags: ['production'] });
    await tagModel(good, { add_tags: ['production'] });
    const task = await train(third, { accuracy: 0.85 });
    const run = await promote(third, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain(good);
    expect((await tagsOf(bad))[0]).not.toContain('production');
  });

  test('a task of a pull request that a person has tagged after the merge counts', async () => {
    const old = await train(first, { event: 'pull_request', tags: ['production'] });
    const task = await train(second, { accuracy: 0.1 });
    expect(await promote(second, [task])).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect((await driver.getTask(old)).tags).toContain('production');
  });

  test('a model that the code of a pull request has tagged is none before the merge, and loses the tag', async () => {
    const forged = await trainUnmerged();
    await tagModel(forged, { add_tags: ['production'] });
    const task = await train(first);
    expect(await promote(first, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([forged, task].map(tagsOf))).toEqual([NEITHER, PRODUCTION]);
  });
});

describe('what is archived', () => {
  const archiveModel = async (task: string) =>
    driver.call('models.edit', { model: await lastModelOf(task), system_tags: ['archived'] });

  test('is not promoted: an archived model, on a push or by hand', async () => {
    const [old, task] = [await train(first), await train(second)];
    await promote(first, [old]);
    await archiveModel(task);
    for (const commit of [second, undefined]) {
      const run = await promote(commit, [task]);
      expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
      expect(run.stderr).toContain('its last one is archived');
    }
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
  });

  test('is not promoted: the model of an archived task', async () => {
    const [old, task] = [await train(first), await train(second)];
    await promote(first, [old]);
    await driver.call('tasks.edit', { task, system_tags: ['archived'], force: true });
    const run = await promote(second, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(run.stderr).toContain('is archived');
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
  });

  test('is what the push is judged against, if only its task is archived: the model is served', async () => {
    const [old, task] = [await train(first), await train(second, { accuracy: 0.1 })];
    await promote(first, [old]);
    await driver.call('tasks.edit', { task: old, system_tags: ['archived'], force: true });
    expect(await promote(second, [task])).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
  });

  test.each(['tasks.update_tags', 'models.update_tags'])(
    'is not promoted: a model that is archived meanwhile, before %s',
    async (endpoint) => {
      const [old, task] = [await train(first), await train(second)];
      await promote(first, [old]);
      let isDone = false;
      const proxy = await startFaultProxy(clearml.apiHost, ({ path }) => {
        if (isDone || !path.includes(endpoint)) return undefined;
        isDone = true;
        return { kind: 'hold', until: archiveModel(task) };
      });
      const run = await promote(second, [task], { env: { CLEARML_API_HOST: proxy.url } });
      await proxy.close();
      expect(run).toMatchObject({ exitCode: 0, promoted: 'false' });
      // Whoever takes it out of the archive must not have two production models.
      expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, NEITHER]);
    },
  );
});

describe('by hand', () => {
  test('the task that is named is promoted, older and worse as it may be: the way back', async () => {
    const [old, task] = [await train(first, { accuracy: 0.5 }), await train(second)];
    await promote(first, [old]);
    await promote(second, [task]);
    const env = { GITHUB_EVENT_NAME: 'workflow_dispatch', GITHUB_REF: 'refs/heads/main' };
    expect(await promote(undefined, [old], { env })).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await Promise.all([old, task].map(tagsOf))).toEqual([PRODUCTION, PREVIOUS]);
  });

  test.each(['', 'status: ClearML\n'])('it goes without a token of GitHub’s: %j', async (settings) => {
    const task = await train(first);
    const env = { GH_TOKEN: '' };
    const run = await promote(undefined, [task], { env, settings });
    expect(run).toMatchObject({ exitCode: 0, promoted: 'true' });
  });

  test.each<[string, number, (id: string) => Promise<string>]>([
    ['that ClearML does not have', 10, async () => '0'.repeat(32)],
    ['that has not completed', 2, () => train(second, { end: 'failed' })],
    ['that is a clone', 2, async (task) => (await driver.call('tasks.clone', { task })).id],
    [
      'of another pipeline',
      2,
      async () => train(second, { runtime: { ci_pipeline: await hashOwn('other') } }),
    ],
  ])('a task %s is refused', async (_, exitCode, prepareTask) => {
    const task = await train(first);
    await promote(first, [task]);
    const run = await promote(undefined, [await prepareTask(task)]);
    expect(run).toMatchObject({ exitCode });
    expect(run.promoted).not.toBe('true');
    expect(await tagsOf(task)).toEqual(PRODUCTION);
  });

  test.each([
    [{ GITHUB_EVENT_NAME: 'pull_request' }],
    [{ GITHUB_EVENT_NAME: 'merge_group' }],
    [{ GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/tags/v1' }],
  ])('%j promotes nothing', async (env) => {
    const task = await train(first);
    expect(await promote(undefined, [task], { env })).toMatchObject({ exitCode: 2 });
    expect(await tagsOf(task)).toEqual(NEITHER);
  });

  test('the newest task of a pull request is not promoted, nor one named beside it', async () => {
    const task = await train(second, { event: 'pull_request', tags: ['pr:7'] });
    const env = { GITHUB_EVENT_NAME: 'workflow_dispatch', PR_NUMBER: '7' };
    for (const args of [[], [task], ['--pr', '7', task]]) {
      const run = await promote(undefined, args, args.length === 3 ? {} : { env });
      expect(run).toMatchObject({ exitCode: 2 });
      expect(run.stderr).toContain('--promote does not go with a pull request');
      expect(run.stderr).toContain('Leave --pr out and PR_NUMBER empty. By hand, give the task’s id.');
    }
    expect(await tagsOf(task)).toEqual(NEITHER);
  });
});

describe('publishing', () => {
  const statesOf = async (task: string) => {
    const { model } = await driver.call('models.get_by_id', { model: await lastModelOf(task) });
    return [model.ready, (await driver.getTask(task)).status];
  };

  test('is what the settings ask for: of the model, not of the task', async () => {
    const task = await train(first);
    await promote(first, [task]);
    expect(await statesOf(task)).toEqual([false, 'completed']);
    const run = await promote(first, [task], { setting: '{ tag: production, publish: true }' });
    expect(run).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(await statesOf(task)).toEqual([true, 'completed']);
    const again = await promote(first, [task], { setting: '{ tag: production, publish: true }' });
    expect(again).toMatchObject({ exitCode: 0, promoted: 'true' });
  });

  test('of a model that does not pass is left', async () => {
    const setting = '{ tag: production, publish: true }';
    await promote(first, [await train(first)], { setting });
    const task = await train(second, { accuracy: 0.1 });
    await promote(second, [task], { setting });
    expect(await statesOf(task)).toEqual([false, 'completed']);
  });
});

/** How many of the tasks carry the tag with their model. */
async function countHolders(tasks: readonly string[]): Promise<number> {
  const tags = await Promise.all(tasks.map(tagsOf));
  return tags.filter((both) => both.every((own) => own?.includes('production'))).length;
}

describe('interrupted', () => {
  test('at any request there is a production model, and the next run of the step finishes it', async () => {
    let cells = 0;
    for (let at = 0; ; at += 1) {
      const runtime = { ci_pipeline: await hashOwn(`train ${at}`) };
      const oldest = await mark(await train(first, { runtime }), 'production-previous');
      const old = await mark(await train(second, { runtime }));
      const task = await train(third, { runtime });
      // Refused from there on, as good as killed.
      const proxy = await startFaultProxy(clearml.apiHost, (_, index) =>
        index < at ? undefined : { kind: 'answer', status: 403, body: '{}' },
      );
      const run = await promote(third, [task], { env: { CLEARML_API_HOST: proxy.url } });
      await proxy.close();
      const holders = await countHolders([oldest, old, task]);
      expect({ at, holders: [1, 2].includes(holders) }).toEqual({ at, holders: true });
      expect(await promote(third, [task])).toMatchObject({ exitCode: 0, promoted: 'true' });
      expect(await Promise.all([oldest, old, task].map(tagsOf))).toEqual([NEITHER, PREVIOUS, PRODUCTION]);
      if (run.exitCode === 0) break;
      cells += 1;
    }
    expect(cells).toBeGreaterThan(10);
  });

  test('halfway, the next push finds both and leaves one', async () => {
    const [old, half] = [await train(first), await train(second)];
    await promote(first, [old]);
    const proxy = await startFaultProxy(clearml.apiHost, ({ path, body }) =>
      path.includes('update_tags') && body.includes('"add_tags":["production-previous"]')
        ? { kind: 'answer', status: 403, body: '{}' }
        : undefined,
    );
    await promote(second, [half], { env: { CLEARML_API_HOST: proxy.url } });
    await proxy.close();
    expect(await countHolders([old, half])).toBe(2);
    const worse = await train(third, { accuracy: 0.1 });
    expect(await promote(third, [worse])).toMatchObject({ exitCode: 0, promoted: 'false' });
    expect(await Promise.all([old, half, worse].map(tagsOf))).toEqual([PREVIOUS, PRODUCTION, NEITHER]);
  });
});

function createGate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/**
 * Runs two promotions at once: the slow one is held at the chosen request until the fast one is done.
 *
 * @returns whether there was such a request
 */
async function race(
  slow: (env: Readonly<Record<string, string>>) => Promise<unknown>,
  fast: () => Promise<unknown>,
  isChosen: (path: string, index: number) => boolean,
): Promise<boolean> {
  const until = createGate();
  const held = createGate();
  let isHeld = false;
  const proxy = await startFaultProxy(clearml.apiHost, ({ path }, index) => {
    if (isHeld || !isChosen(path, index)) return undefined;
    isHeld = true;
    held.open();
    return { kind: 'hold', until: until.opened };
  });
  const done = slow({ CLEARML_API_HOST: proxy.url }).finally(held.open);
  await held.opened;
  if (isHeld) await fast();
  until.open();
  await done;
  await proxy.close();
  return isHeld;
}

describe('two pushes at once', () => {
  test.each([
    ['older', second, third],
    ['newer', third, second],
  ])('end with the newer commit’s model, wherever the %s one is held up', async (_, slow, fast) => {
    for (let at = 0; ; at += 1) {
      const runtime = { ci_pipeline: await hashOwn(`train ${at}`) };
      const tasks = new Map<string, string>();
      for (const commit of [first, second, third]) tasks.set(commit, await train(commit, { runtime }));
      const all = [...tasks.values()];
      const idOf = (commit: string) => tasks.get(commit) ?? '';
      await mark(idOf(first));
      const isHeld = await race(
        (env) => promote(slow, [idOf(slow)], { env, isBeside: true }),
        async () => {
          await promote(fast, [idOf(fast)], { isBeside: true });
          expect(await countHolders(all)).toBeGreaterThan(0);
        },
        (_path, index) => index === at,
      );
      if (!isHeld) break;
      const tags = await Promise.all(all.map(tagsOf));
      expect({ at, third: tags[2], others: tags.slice(0, 2).flat(2).includes('production') }).toEqual({
        at,
        third: PRODUCTION,
        others: false,
      });
    }
  });
});

describe('a push, and a person who goes back at once', () => {
  test.each(['the person', 'the push'])('end with one model, wherever %s looks again late', async (slow) => {
    for (let at = 0; ; at += 1) {
      const [old, now, next] = [await train(first), await train(second), await train(third)];
      await mark(now);
      const back = (env = {}) => promote(undefined, [old], { env, isBeside: true });
      const push = (env = {}) => promote(third, [next], { env, isBeside: true });
      let hasMoved = false;
      let looks = 0;
      const isHeld = await race(
        slow === 'the push' ? push : back,
        slow === 'the push' ? back : push,
        (path) => {
          hasMoved ||= path.includes('update_tags');
          if (!hasMoved || !path.includes('models.get_all')) return false;
          looks += 1;
          return looks > at;
        },
      );
      const all = [old, now, next];
      const tags = (await Promise.all(all.map(tagsOf))).flat(2);
      expect({
        at,
        holders: await countHolders(all),
        marks: tags.filter((tag) => tag === 'production'),
      }).toEqual({
        at,
        holders: 1,
        marks: ['production', 'production'],
      });
      if (!isHeld) break;
      for (const task of all) await driver.call('tasks.delete', { task, force: true });
    }
  });
});

describe('the merged pull request’s comment', () => {
  const bodyOf = () => github.comments(7).at(-1)?.body ?? '';
  const linesOf = (body: string) => body.split('\n').filter((line) => /romoted/.test(line));

  /** Reports a pull request's task as its own run does, and merges it. */
  async function report(task: string): Promise<void> {
    const { GITHUB_OUTPUT: _, GITHUB_STEP_SUMMARY: __, ...env } = prepare(undefined);
    const args = [task, '--config', 'settings.yml', '--no-gate'];
    const world = { args, env: { ...env, PR_NUMBER: '7' }, cwd: directory, clock: createPatientClock() };
    expect(await runProgramHere(main, world)).toMatchObject({ exitCode: 0 });
  }

  test('gets one line about it, and nothing else of it changes', async () => {
    const task = await train(second, { event: 'pull_request' });
    await report(task);
    const before = bodyOf();
    github.mergePull(7, second);
    const run = await promote(second, [task], { env: { GITHUB_RUN_ID: '99' } });
    expect(run.stderr).toContain('Told it in the comment on pull request 7');
    const [line = '', ...more] = linesOf(bodyOf());
    expect(more).toEqual([]);
    expect(line).toContain(`of [task \`${task.slice(0, 8)}\`](`);
    expect(line).toContain('actions/runs/99)');
    expect(bodyOf().replace(`<!-- clearml-ci-cd promotion -->\n${line}\n\n`, '')).toBe(before);

    await promote(second, [task]);
    expect(linesOf(bodyOf())).toHaveLength(1);
    // The job of the closed pull request reports at about the same time.
    await report(task);
    expect(linesOf(bodyOf())).toHaveLength(1);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('says why nothing moved, in place of what was said before', async () => {
    const task = await train(second, { event: 'pull_request', accuracy: 0.1 });
    await report(task);
    github.mergePull(7, second);
    await promote(second, [task]);
    expect(linesOf(bodyOf())[0]).toMatch(/^\*\*Promoted\.\*\*/);
    const better = await mark(await train(first));
    await promote(second, [task]);
    expect(linesOf(bodyOf())).toEqual([
      expect.stringMatching(/^\*\*Not promoted\.\*\* The gate finds it worse/),
    ]);
    expect(linesOf(bodyOf())[0]).toContain(better);
  });

  test('of another pipeline, of somebody else, or where none was merged, is left alone', async () => {
    const task = await train(second, { event: 'pull_request' });
    await report(task);
    const marker = bodyOf().split('\n')[0];
    const before = bodyOf();
    const run = await promote(second, [task]);
    expect(run).toMatchObject({ exitCode: 0, promoted: 'true' });
    expect(run.stderr).toContain('No comment of ours');
    expect(bodyOf()).toBe(before);
    await replaceGithub({ comments: [{ pull: 7, author: 'mallory', body: `${marker}\nmine` }] });
    github.mergePull(7, second);
    await promote(second, [task]);
    expect(bodyOf()).toBe(`${marker}\nmine`);
  });

  test('without the permission is exit 8, and the model is promoted all the same', async () => {
    const task = await train(second);
    await report(task);
    const [marker] = bodyOf().split('\n');
    await replaceGithub({
      comments: [{ pull: 7, author: 'github-actions[bot]', body: `${marker}\nours` }],
      permissions: { contents: 'read' },
    });
    github.mergePull(7, second);
    const run = await promote(second, [task]);
    expect(run).toMatchObject({ exitCode: 8, promoted: 'true' });
    expect(run.stderr).toContain('pull-requests: write');
    expect(await tagsOf(task)).toEqual(PRODUCTION);
  });

  test('holds no Markdown of the tag’s', async () => {
    const task = await train(second);
    const settings = GATED;
    const setting = '{ tag: "<img src=x> @team | `b`" }';
    await report(task);
    github.mergePull(7, second);
    expect(await promote(second, [task], { settings, setting })).toMatchObject({ promoted: 'true' });
    const [line = ''] = linesOf(bodyOf());
    expect(line.replaceAll(/(`+) ?(?:(?!\1).)*? ?\1(?!`)/g, '')).not.toMatch(/[<|]|@team/);
  });
});
