import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  publish,
  repository,
  sandbox,
  setSettings,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('settings', () => {
  test('come from flags, then from the file; all reach the task', async () => {
    await setSettings(
      [
        'project: From File',
        'task-name: My Task',
        'working-dir: ./sub/',
        'entry-point: run.py',
        'requirements: sub/req.txt',
        'docker-image: python:3.11',
        'docker-args: --ipc=host',
        'params: { Args/lr: 0.1, General/depth: 3, plain: true }',
        'tags: [team-a]',
      ].join('\n'),
    );
    repository.commit('More', { 'sub/req.txt': 'numpy\n', 'sub/run.py': '' });
    publish();
    const task = await launchTask([
      '--project',
      'From Flag',
      '--param',
      'lr=0.2',
      '--param',
      'Args/text=a=b',
      '--tag',
      'team-b',
    ]);
    expect(task).toMatchObject({
      name: 'My Task',
      type: 'training',
      status: 'queued',
      script: { working_dir: 'sub', entry_point: 'run.py', requirements: { pip: 'numpy\n' } },
      container: { image: 'python:3.11', arguments: '--ipc=host' },
    });
    const hyperparams = Object.entries(
      task.hyperparams as Record<string, Record<string, { value: string }>>,
    ).flatMap(([section, params]) =>
      Object.entries(params).map(([name, { value }]) => `${section}/${name}=${value}`),
    );
    expect(hyperparams.sort()).toEqual([
      'Args/lr=0.2',
      'Args/plain=true',
      'Args/text=a=b',
      'General/depth=3',
    ]);
    expect(task.tags).toEqual(expect.arrayContaining(['ci', 'branch:main', 'team-a', 'team-b']));
    const { projects } = await driver.call('projects.get_all', { id: [task.project] });
    expect(projects[0].name).toBe('From Flag');
  });

  test('the params of the command line tell launches of one pipeline apart, those of the settings do not', async () => {
    await setSettings('params: { lr: 0.1 }\n');
    const legOf = async (...args: string[]) => (await launchTask([...args, '--no-reuse'])).runtime.ci_leg;
    const small = await legOf('--param', 'depth=3', '--param', 'General/size=1');
    expect(small).toMatch(/^[0-9a-f]{8}$/);
    expect(await legOf('--param', 'General/size=1', '--param', 'Args/depth=4', '--param', 'depth=3')).toBe(
      small,
    );
    expect(await legOf('--param', 'depth=3', '--param', 'General/size=2')).not.toBe(small);
    expect(await legOf()).toBeUndefined();
    expect(await legOf('--queue', 'default', '--tag', 'night')).toBeUndefined();
  });

  test('an option that is set to nothing counts as not given, also one that may be repeated', async () => {
    const plain = await launchTask(['--param', 'lr=1']);
    const blank = ['--param', '', '--param', ' ', '--tag', '', '--queue', ' ', '--docker-image', '\t'];
    expect((await launchTask([...blank, '--param', 'lr=1'])).id).toBe(plain.id);
    const task = await launchTask(blank);
    expect(task.hyperparams).toEqual({});
    expect(task.runtime.ci_leg).toBeUndefined();
  });

  test('a param has a type where one is named, and keeps its spelling', async () => {
    await setSettings(
      'params: { Transformers/flag: { value: False, type: bool }, General/depth: 1.10 }\nseeds: [7]\nseed-param: seed:fire.Arg.shared\n',
    );
    publish();
    const args = ['--param', 'train:click.Command=True', '--param', 'url=http://x:1'];
    const [document] = JSON.parse((await launch(['--dry-run', ...args])).stdout).tasks;
    const task = await launchTask(args);
    expect(task.hyperparams).toEqual(document.hyperparams);
    expect(task.hyperparams).toEqual({
      Args: {
        train: { section: 'Args', name: 'train', value: 'True', type: 'click.Command' },
        url: { section: 'Args', name: 'url', value: 'http://x:1' },
        seed: { section: 'Args', name: 'seed', value: '7', type: 'fire.Arg.shared' },
      },
      General: { depth: { section: 'General', name: 'depth', value: '1.10' } },
      Transformers: { flag: { section: 'Transformers', name: 'flag', value: 'False', type: 'bool' } },
    });
    expect(JSON.parse(task.runtime.ci_given as string)).toEqual([
      ['Args/seed', '7', 'fire.Arg.shared'],
      ['Args/train', 'True', 'click.Command'],
      ['Args/url', 'http://x:1'],
      ['General/depth', '1.10'],
      ['Transformers/flag', 'False', 'bool'],
    ]);
  });

  test('name the task after its program by default, the project after the repository', async () => {
    repository.commit('More', { 'a/b/train.py': '' });
    publish();
    const task = await launchTask(['--working-dir', 'a/b', '--entry-point', 'train.py']);
    expect(task.name).toBe('a/b/train');
    expect((await driver.call('projects.get_all', { name: '^digits$' })).projects).toHaveLength(1);
  });

  test('spellings of a project name that ClearML keeps as one name are one project and one training', async () => {
    const first = await launchTask(['--project', 'A Team/digits']);
    for (const name of ['/A Team/digits', 'A Team/digits/', 'A Team//digits', ' A Team / digits ']) {
      expect((await launchTask(['--project', name])).id).toBe(first.id);
    }
    const again = await launchTask(['--project', ' A Team //digits/', '--no-reuse']);
    expect(again).toMatchObject({
      project: first.project,
      runtime: { ci_pipeline: first.runtime.ci_pipeline },
    });
    const { projects } = await driver.call('projects.get_all', { id: [first.project] });
    expect(projects[0].name).toBe('A Team/digits');
  });

  test.each([
    ['Team/v2', 'has a part with fewer than 3 characters: "v2"'],
    ['a/b', 'has a part with fewer than 3 characters: "a"'],
    ['A Team / B', 'has a part with fewer than 3 characters: "B"'],
    ['Team/v2/digits', 'has a part with fewer than 3 characters: "v2"'],
    ['/ab/', 'is shorter than 3 characters'],
    ['//', 'is shorter than 3 characters'],
    ['one/two/three/four/five/six/seven/eight/nine/ten/eleven', 'has more than 10 parts'],
  ])('a project that ClearML refuses, "%s", is exit 2, and nothing is created', async (name, reason) => {
    for (const args of [
      ['--project', name],
      ['--project', name, '--dry-run'],
    ]) {
      const run = await launch(args);
      expect(run).toMatchObject({ exitCode: 2, stdout: '' });
      expect(run.stderr).toContain(`error: --project "${name}" ${reason}`);
    }
    expect(await driver.listTasks()).toEqual([]);
    expect((await driver.call('projects.get_all', { name: 'Team|ab|one' })).projects).toEqual([]);
  });

  test.each(['__$all', '__$not', '__$x'])('a tag that ClearML refuses, %s, is exit 2', async (tag) => {
    for (const args of [
      ['--tag', tag],
      ['--tag', 'team-a', '--tag', tag, '--dry-run'],
    ]) {
      const run = await launch(args);
      expect(run).toMatchObject({ exitCode: 2, stdout: '' });
      expect(run.stderr).toContain(`error: the tag "${tag}" begins with "__$"`);
    }
    await setSettings(`tags: ['${tag}']`);
    expect(await launch()).toMatchObject({ exitCode: 2, stdout: '' });
    expect(await driver.listTasks()).toEqual([]);
  });

  test('--dry-run prints the documents, changes nothing and writes no output', async () => {
    const output = join(folder, 'output');
    const run = await launch(['--dry-run', '--param', 'lr=1'], { env: { GITHUB_OUTPUT: output } });
    expect(run.exitCode).toBe(0);
    const [document] = JSON.parse(run.stdout).tasks;
    expect(await driver.listTasks()).toEqual([]);
    expect((await driver.call('projects.get_all', { name: '^digits$' })).projects).toEqual([]);
    await expect(readFile(output)).rejects.toThrow('ENOENT');

    const task = await launchTask(['--param', 'lr=1']);
    expect(task).toMatchObject({ ...document, project: task.project, tags: [...document.tags].sort() });
    const again = await launch(['--dry-run', '--param', 'lr=1']);
    expect(JSON.parse(again.stdout)).toEqual({ tasks: [{ id: task.id }] });
  });

  test('a requirements file must lie inside the checkout, links followed', async () => {
    await writeFile(join(folder, 'secret'), 'runner secret');
    await symlink(join(folder, 'secret'), join(repository.directory, 'req.txt'));
    repository.commit('Link', {});
    publish();
    for (const [path, message] of [
      ['req.txt', 'lies outside the checkout'],
      ['../no-such-file-anywhere', 'does not exist'],
      ['no-such.txt', 'does not exist'],
      ['.', 'is a folder, not a file'],
    ] as const) {
      const run = await launch(['--requirements', path]);
      expect(run.exitCode).toBe(2);
      expect(run.stderr).toContain(message);
    }
    expect(JSON.stringify(await driver.listTasks())).not.toContain('runner secret');
  });

  test('outputs and JSON name the task; stdout without --json is the id alone', async () => {
    const output = join(folder, 'output');
    const env = { ...(await describePullRequest(7)), GITHUB_OUTPUT: output };
    const run = await launch(['--json'], { env });
    const [task] = JSON.parse(run.stdout).tasks;
    expect(JSON.parse(run.stdout)).toEqual({
      tasks: [
        {
          id: expect.stringMatching(/^[0-9a-f]{32}$/),
          url: expect.stringMatching(
            new RegExp(`^${sandbox.webHost}/projects/[0-9a-f]{32}/tasks/${task.id}/output/log$`),
          ),
          seed: null,
          reused: false,
          queue: { name: 'default', position: 1, workers: 0 },
        },
      ],
      superseded: [],
    });
    const lines = (await readFile(output, 'utf8'))
      .split('\n')
      .filter((line) => !/ghadelimiter_|^$/.test(line));
    expect(lines).toEqual([task.id, task.id, task.url, 'false']);
    const again = await launch([], { env: { ...env, GITHUB_OUTPUT: `${output}2` } });
    expect(again.stdout).toBe(`${task.id}\n`);
    expect(await readFile(`${output}2`, 'utf8')).toMatch(/reused<<(.*)\ntrue\n\1\n$/);
  });
});

describe('findable', () => {
  test('the task tells where it came from and who started it', async () => {
    const env = await describePullRequest(7, { id: '4711', attempt: '2' });
    const task = await launchTask([], env);
    const commit = repository.git('rev-parse', 'HEAD');
    expect(task.tags).toEqual(expect.arrayContaining(['ci', 'pr:7', 'branch:feature']));
    expect(task.comment.split('\n')).toEqual([
      'Pull request: https://github.com/acme/digits/pull/7',
      `Commit: https://github.com/acme/digits/commit/${commit} (branch feature)`,
      'Run: https://github.com/acme/digits/actions/runs/4711/attempts/2',
      'Started by: octocat, event pull_request',
    ]);
    expect(task.runtime).toMatchObject({
      ci_key: expect.stringMatching(/^[0-9a-f]{32}$/),
      ci_code: repository.git('rev-parse', 'HEAD^{tree}'),
      ci_pull_request: '7',
      ci_run: '4711',
      ci_attempt: '2',
      ci_event: 'pull_request',
    });
  });
});
