import { describe, expect, test } from '@jest/globals';
import type { TaskDocument } from '../dev/clearml-driver.ts';
import {
  breakRequests,
  describePullRequest,
  driver,
  launch,
  launchTask,
  publish,
  repository,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('superseded', () => {
  /** Launches for the first commit, then pushes another one. */
  async function launchTwoCommits(second: { id?: string; args?: string[] } = {}) {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const run = await launch(['--json', ...(second.args ?? [])], {
      env: await describePullRequest(7, { id: second.id ?? '1001' }),
    });
    return { older, run, report: JSON.parse(run.stdout) as { tasks: TaskDocument[]; superseded: string[] } };
  }

  test('a queued task of an older commit is taken out of the queue, with the reason on it', async () => {
    const { older, run, report } = await launchTwoCommits();
    expect(report.superseded).toEqual([older.id]);
    expect(await driver.getTask(older.id)).toMatchObject({
      status: 'created',
      status_reason: expect.stringMatching(/^superseded by run 1001: commit [0-9a-f]{10} of pull request 7$/),
    });
    expect(run.stderr).toContain(`Ended task ${older.id} of an older commit`);
  });

  test('not with --no-supersede, nor by an older run that is retried', async () => {
    expect((await launchTwoCommits({ args: ['--no-supersede'] })).report.superseded).toEqual([]);
    expect((await launchTwoCommits({ id: '999' })).report.superseded).toEqual([]);
  });

  test.each([
    // The first look is over; and then the last one too.
    ['first', 'tasks.create'],
    ['last', 'tasks.edit_runtime'],
  ])('not what another pull request has reused since the %s look', async (_, heldAt) => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    const oldCommit = repository.git('rev-parse', 'HEAD');
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const reuse = await describePullRequest(8, { head: oldCommit });
    let isHeld = false;
    const env = await breakRequests((endpoint) => {
      if (isHeld || endpoint !== heldAt) return undefined;
      isHeld = true;
      return { kind: 'hold', until: launchTask([], reuse) };
    });
    const run = await launch([], { env: { ...(await describePullRequest(7, { id: '1001' })), ...env } });
    expect(run.exitCode).toBe(0);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'queued' });
    const { runtime } = await driver.getTask(older.id);
    expect(Object.keys(runtime).filter((key) => /^ci_(?:use|ended)/.test(key))).toEqual(['ci_use_8']);
  });

  test('by a launch by hand is said with the variable that makes it one', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const env = { GITHUB_REPOSITORY: 'acme/digits', PR_NUMBER: '7' };
    const why = 'it is superseded, because PR_NUMBER is 7 (--no-supersede leaves it running)';
    const dry = await launch(['--dry-run'], { env });
    expect(dry.stderr).toContain(`Task ${older.id} of an older commit would be ended: ${why}`);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'queued' });
    expect((await launch([], { env })).stderr).toContain(`Ended task ${older.id} of an older commit: ${why}`);
  });

  test('a task that two pull requests share ends when the second has newer code too', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    await launchTask([], await describePullRequest(8, { id: '1001' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await launchTask([], await describePullRequest(7, { id: '1002' }));
    const shared = await driver.getTask(older.id);
    expect(shared).toMatchObject({ status: 'queued', tags: expect.not.arrayContaining(['pr:7']) });
    const run = await launch(['--json'], { env: await describePullRequest(8, { id: '1003' }) });
    expect(JSON.parse(run.stdout).superseded).toEqual([older.id]);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'created' });
  });

  test('an old task that cannot be ended is a warning: the new one is launched all the same', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.dequeue' ? { kind: 'answer', status: 403, body: '' } : undefined,
    );
    const run = await launch([], { env: { ...(await describePullRequest(7, { id: '1001' })), ...env } });
    expect(run).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[0-9a-f]{32}\n$/) });
    expect(run.stderr).toContain(
      `not confirmed: superseded task ${older.id} of an older commit may still run`,
    );
  });

  test('nothing that differs in any one field is touched', async () => {
    const { older } = await launchTwoCommits({ args: ['--no-supersede'] });
    const commit = repository.git('rev-parse', 'HEAD');
    const runtime = older.runtime as Record<string, string>;
    const project = older.project as string;
    const queue = (await driver.call('queues.get_default')).id;
    const create = async (change: { runtime?: object; tags?: string[]; commit?: string; name?: string }) => {
      const id = await driver.createTask({
        name: change.name ?? older.name,
        project,
        tags: change.tags ?? ['ci', 'pr:7', 'branch:feature'],
        script: { ...older.script, version_num: change.commit ?? older.script.version_num },
        runtime: Object.fromEntries(
          Object.entries({ ...runtime, ci_key: 'b'.repeat(32), ...change.runtime }).filter(
            ([, value]) => value !== undefined,
          ),
        ),
      });
      await driver.call('tasks.enqueue', { task: id, queue });
      return id;
    };
    const nearMisses = await Promise.all([
      create({ runtime: { ci_pull_request: '8' }, tags: ['ci', 'pr:8'] }),
      create({ runtime: { ci_pull_request: '77' }, tags: ['ci', 'pr:77'] }),
      create({ runtime: { ci_pull_request: undefined } }),
      create({ runtime: { ci_pipeline: 'c'.repeat(32) } }),
      create({ runtime: { ci_pipeline: undefined } }),
      create({ runtime: { ci_run: '1002' } }),
      create({ runtime: { ci_run: '10000' } }),
      create({ commit }),
      create({ tags: ['ci', 'pr:7', 'pr:8'] }),
    ]);
    const hit = await create({});
    repository.git('commit', '--quiet', '--amend', '--no-edit', '--author', 'Bob <bob@example.com>');
    const run = await launch(['--json'], { env: await describePullRequest(7, { id: '1001', head: commit }) });
    expect(JSON.parse(run.stdout).superseded.sort()).toEqual([older.id, hit].sort());
    for (const id of nearMisses) expect(await driver.getTask(id)).toMatchObject({ status: 'queued' });
  });
});
