import { describe, expect, test } from '@jest/globals';
import { hashText } from '../training/pipeline.ts';
import {
  describePullRequest,
  driver,
  launch,
  launchTask,
  publish,
  repository,
  setSettings,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('once', () => {
  test('another message, author or parent of the same tree trains nothing', async () => {
    const first = await launchTask();
    repository.git('commit', '--quiet', '--amend', '-m', 'Another message');
    publish();
    const second = await launchTask();
    expect(second.id).toBe(first.id);
    repository.commit('Change', { 'train_model.py': 'print(2)\n' });
    publish();
    expect((await launchTask()).id).not.toBe(first.id);
  });

  test('with paths, a commit that touches only other files trains nothing', async () => {
    await setSettings('paths: [train_model.py, "src/**"]');
    const first = await launchTask();
    repository.commit('Docs', { 'docs/guide.md': 'changed\n' });
    publish();
    expect((await launchTask()).id).toBe(first.id);
    repository.commit('Source', { 'src/deep/model.py': 'x\n' });
    publish();
    expect((await launchTask()).id).not.toBe(first.id);
  });

  test('with paths, an ended task says which commit of the pull request it stands for', async () => {
    await setSettings('paths: [train_model.py, "src/**"]');
    const { id } = await launchTask([], await describePullRequest(7));
    await driver.startTask(id);
    await driver.completeTask(id);
    for (const text of ['more\n', 'even more\n']) {
      repository.commit('Docs', { 'docs/guide.md': text });
      publish();
      expect((await launchTask([], await describePullRequest(7))).id).toBe(id);
    }
    const commit = repository.git('rev-parse', 'HEAD');
    const tags = (await driver.getTask(id)).tags.filter((tag: string) => tag.startsWith('pr:'));
    expect(tags.sort()).toEqual(['pr:7', `pr:7:${commit}`]);
  });

  test('paths that match no file are an error', async () => {
    await setSettings('paths: [nothing/**]');
    const run = await launch();
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('matches paths (nothing/**)');
  });

  test.each<[string, string[]]>([
    ['params', ['--param', 'lr=2']],
    ['image', ['--docker-image', 'python:3.12']],
    ['arguments of the image', ['--docker-args', '--ipc=host']],
    ['entry point', ['--entry-point', 'other.py', '--task-name', 'train_model']],
    ['working directory', ['--working-dir', 'docs', '--task-name', 'train_model']],
    ['requirements', ['--requirements', 'docs/guide.md']],
    ['project', ['--project', 'Other']],
    ['task name', ['--task-name', 'Other']],
  ])('another %s is another training', async (_, args) => {
    const first = await launchTask();
    expect((await launchTask(args)).id).not.toBe(first.id);
    expect((await launchTask(args)).id).not.toBe(first.id);
    expect(await driver.listTasks()).toHaveLength(2);
  });

  test('tags, queue and branch do not make another training', async () => {
    await driver.call('queues.create', { name: 'other' });
    const first = await launchTask();
    publish('also-here');
    expect((await launchTask(['--tag', 'x', '--queue', 'other'])).id).toBe(first.id);
  });

  test.each(['queued', 'in_progress', 'completed', 'published'])(
    'a task that is %s is reused',
    async (status) => {
      const { id } = await launchTask();
      if (status !== 'queued') await driver.startTask(id);
      if (status === 'completed' || status === 'published') await driver.completeTask(id);
      if (status === 'published') await driver.call('tasks.publish', { task: id });
      expect(await driver.getTask(id)).toMatchObject({ status });
      const run = await launch();
      expect(run.stdout).toBe(`${id}\n`);
      expect(run.stderr).toContain(`Reusing task ${id}`);
    },
  );

  test.each(['failed', 'stopped', 'closed', 'archived'])('a task that is %s is not', async (state) => {
    const { id } = await launchTask();
    await driver.startTask(id);
    if (state === 'failed') await driver.failTask(id);
    else if (state === 'archived') await driver.completeTask(id);
    else await driver.call('tasks.stop', { task: id });
    if (state === 'closed') await driver.call('tasks.close', { task: id });
    if (state === 'archived') await driver.call('tasks.archive', { tasks: [id] });
    expect((await launchTask()).id).not.toBe(id);
  });

  test('a type makes another training; the key of params without one is as it was', async () => {
    const first = await launchTask(['--param', 'lr=0.5', '--param', 'Args/a=1']);
    const { ci_pipeline: pipeline, ci_code: code, ci_key: key } = first.runtime;
    const surroundings = ['train_model.py', '.', null, null, null];
    const params = [
      ['Args/a', '1'],
      ['Args/lr', '0.5'],
    ];
    expect(key).toBe(await hashText(JSON.stringify([1, pipeline, code, '', ...surroundings, params])));
    const typed = await launchTask(['--param', 'lr:float=0.5', '--param', 'Args/a=1']);
    expect(typed.id).not.toBe(first.id);
    expect((await launchTask(['--param', 'lr:float=0.5', '--param', 'a=1'])).id).toBe(typed.id);
  });

  test('a queued task whose param got another type meanwhile is another training', async () => {
    const { id } = await launchTask(['--param', 'flag:bool=false']);
    await driver.call('tasks.dequeue', { task: id });
    const hyperparams = [{ section: 'Args', name: 'flag', value: 'false', type: 'str' }];
    await driver.call('tasks.edit_hyper_params', { task: id, hyperparams });
    expect((await launchTask(['--param', 'flag:bool=false'])).id).not.toBe(id);
  });

  test('a draft with the same key is queued instead of a new one', async () => {
    const { id } = await launchTask();
    await driver.call('tasks.dequeue', { task: id });
    const task = await launchTask();
    expect(task).toMatchObject({ id, status: 'queued' });
  });

  test('a draft that somebody has edited meanwhile is another training', async () => {
    const { id } = await launchTask(['--param', 'lr=1']);
    await driver.call('tasks.dequeue', { task: id });
    const hyperparams = [{ section: 'Args', name: 'lr', value: '999' }];
    await driver.call('tasks.edit_hyper_params', { task: id, hyperparams });
    const task = await launchTask(['--param', 'lr=1']);
    expect(task.id).not.toBe(id);
    expect(await driver.getTask(id)).toMatchObject({ status: 'created' });
  });

  test.each([{ entry_point: 'evil.py' }, { working_dir: 'elsewhere' }, { diff: 'diff --git a/x b/x\n' }])(
    'a task that ran another program under the same key is another training: %j',
    async (change) => {
      const [planned] = JSON.parse((await launch(['--dry-run'])).stdout).tasks;
      const script = { ...planned.script, ...change };
      const forged = await driver.createTask({ name: planned.name, script, runtime: planned.runtime });
      await driver.startTask(forged);
      await driver.completeTask(forged);
      expect((await launchTask()).id).not.toBe(forged);
    },
  );

  test('an option that is set to nothing counts as left out', async () => {
    const first = await launchTask();
    expect((await launchTask(['--docker-image', '', '--requirements', ''])).id).toBe(first.id);
  });

  test('another pull request that reuses a task puts its tag on it', async () => {
    const first = await launchTask([], await describePullRequest(7));
    const second = await launchTask([], await describePullRequest(8));
    expect(second.id).toBe(first.id);
    expect(second.tags).toEqual(expect.arrayContaining(['pr:7', 'pr:8']));
  });

  test('--no-reuse trains again, but a retry of the same run does not train twice', async () => {
    const first = await launchTask([], await describePullRequest(7, { id: '1' }));
    await driver.startTask(first.id);
    await driver.completeTask(first.id);
    const again = await launchTask(['--no-reuse'], await describePullRequest(7, { id: '2' }));
    expect(again.id).not.toBe(first.id);
    const retried = await launchTask(['--no-reuse'], await describePullRequest(7, { id: '2', attempt: '2' }));
    expect(retried.id).toBe(again.id);
  });

  test('three programs of the same name in three folders share nothing', async () => {
    repository.commit('More', { 'a/train_model.py': '', 'b/train_model.py': '' });
    publish();
    const tasks = [];
    for (const folderName of ['.', 'a', 'b']) {
      tasks.push(await launchTask(['--working-dir', folderName], await describePullRequest(7)));
    }
    expect(new Set(tasks.map((task) => task.runtime.ci_pipeline)).size).toBe(3);
    expect(new Set(tasks.map((task) => task.runtime.ci_key)).size).toBe(3);
    // A newer commit of one of them supersedes that one alone.
    repository.commit('Newer', { 'a/train_model.py': 'x' });
    publish();
    const run = await launch(['--working-dir', 'a', '--json'], {
      env: await describePullRequest(7, { id: '1001' }),
    });
    expect(JSON.parse(run.stdout).superseded).toEqual([tasks[1]?.id]);
  });

  test('20 launches at once end with one task', async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => launch()));
    expect(runs.map((run) => run.exitCode)).toEqual(Array(20).fill(0));
    expect(new Set(runs.map((run) => run.stdout)).size).toBe(1);
    const tasks = await driver.listTasks();
    expect(tasks.map((task) => task.status)).toEqual(['queued']);
  });
});
