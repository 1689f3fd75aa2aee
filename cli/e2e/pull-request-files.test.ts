import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { createClearmlDriver } from '../dev/clearml-driver.ts';
import { runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main as launch } from '../launch-training-task.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

// What a pull request commits lies in the working directory of a job that holds keys.

const RUNNER_SECRET = 'a-secret-of-the-runner';

let sandbox: Sandbox;
let repository: ScratchRepository;
let runnerFolder: string;
let runnerFile: string;
let task: string;

beforeEach(async () => {
  sandbox = await startSandbox({
    github: { pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }] },
  });
  repository = createScratchRepository();
  repository.commit('Start', { 'train_model.py': 'print(1)\n' });
  runnerFolder = mkdtempSync(join(tmpdir(), 'runner-'));
  runnerFile = join(runnerFolder, 'credentials');
  writeFileSync(runnerFile, `${RUNNER_SECRET}: {{${RUNNER_SECRET}}}\n`);
  const driver = createClearmlDriver(sandbox.clearml.env);
  task = await driver.createTask();
  await driver.call('tasks.enqueue', { task, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(task);
  await driver.completeTask(task);
});

afterEach(async () => {
  await sandbox.close();
  repository.remove();
  rmSync(runnerFolder, { recursive: true, force: true });
});

const PROGRAMS = [
  ['launch', launch, () => ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)]],
  ['check', check, () => [task]],
  ['comment', comment, () => [task, '--pr', '7']],
] as const;

function run(main: (typeof PROGRAMS)[number][1], args: readonly string[]) {
  return runProgramHere(main, {
    args,
    cwd: repository.directory,
    env: { ...sandbox.env, GITHUB_ACTIONS: 'true' },
  });
}

function link(path: string, target: string): void {
  const place = join(repository.directory, path);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(target, place);
}

/** Nothing of the runner's file is shown, sent or posted. */
async function expectNothingRead(shown: { stdout: string; stderr: string }): Promise<void> {
  const driver = createClearmlDriver(sandbox.clearml.env);
  const everything = JSON.stringify([shown, sandbox.github.comments(7), await driver.listTasks()]);
  expect(everything).not.toContain(RUNNER_SECRET);
}

describe.each(PROGRAMS)('%s', (_, main, listArgs) => {
  test.each(['.github/clearml-ci.yml', 'own/settings.yml'])(
    'does not follow a link of settings (%s) out of the checkout',
    async (path) => {
      link(path, runnerFile);
      const shown = await run(main, [...listArgs(), ...(path.startsWith('own') ? ['--config', path] : [])]);
      expect(shown).toMatchObject({ exitCode: 2, stdout: '' });
      expect(shown.stderr).toContain('leads out of the checkout');
      await expectNothingRead(shown);
    },
  );

  test('does not follow a link of the folder that the settings lie in', async () => {
    writeFileSync(join(runnerFolder, 'clearml-ci.yml'), `${RUNNER_SECRET}: 1\n`);
    link('.github', runnerFolder);
    const shown = await run(main, listArgs());
    expect(shown).toMatchObject({ exitCode: 2, stdout: '' });
    await expectNothingRead(shown);
  });

  test('follows a link that stays inside, and reads a file elsewhere that the workflow names', async () => {
    writeFileSync(join(repository.directory, 'settings.yml'), 'tags: [own]\n');
    link('.github/clearml-ci.yml', '../settings.yml');
    expect((await run(main, listArgs())).exitCode).toBe(0);
    const elsewhere = join(runnerFolder, 'settings.yml');
    writeFileSync(elsewhere, 'tags: [elsewhere]\n');
    expect((await run(main, [...listArgs(), '--config', elsewhere])).exitCode).toBe(0);
  });

  test('takes no server’s address from settings', async () => {
    for (const key of ['api-host', 'clearml-api-host', 'web-host', 'proxy', 'github-api-url', 'env']) {
      const settings = join(repository.directory, 'settings.yml');
      writeFileSync(settings, `${key}: http://127.0.0.1:9\n`);
      const { exitCode, stderr } = await run(main, [...listArgs(), '--config', 'settings.yml']);
      expect({ key, exitCode }).toEqual({ key, exitCode: 2 });
      expect(stderr).toContain(key);
    }
  });
});

test('comment does not follow a template’s link out of the checkout, to the environment say', async () => {
  for (const [path, target] of [
    ['own.md', runnerFile],
    ['environment.md', '/proc/self/environ'],
  ] as const) {
    link(path, target);
    const shown = await run(comment, [task, '--pr', '7', '--template', path]);
    expect(shown).toMatchObject({ exitCode: 2, stdout: '' });
    expect(shown.stderr).toContain(`${path} is a link that leads out of the checkout`);
    await expectNothingRead(shown);
  }
});

test.each([
  ['launch-training-task', () => ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)]],
  ['check-task-running', () => [task]],
  ['create-stats-comment', () => [task, '--pr', '7']],
] as const)(
  'in Actions %s reads no .env and no clearml.conf that a pull request commits',
  async (program, listArgs) => {
    const elsewhere = 'http://127.0.0.1:9';
    repository.commit('Send the keys elsewhere', {
      '.env': `CLEARML_WEB_HOST=${elsewhere}\nHTTP_PROXY=${elsewhere}\nGITHUB_API_URL=${elsewhere}\nNODE_OPTIONS=--require=./own.cjs\n`,
      'clearml.conf': `api { api_server: "${elsewhere}" }\n`,
      '.npmrc': `proxy=${elsewhere}\n`,
    });
    const shown = await runProgramProcess(program, {
      args: listArgs(),
      cwd: repository.directory,
      env: { ...sandbox.env, GITHUB_ACTIONS: 'true', HOME: repository.directory },
    });
    expect(shown).toMatchObject({ exitCode: 0 });
    expect(shown.stdout + shown.stderr).not.toContain('127.0.0.1:9/');
  },
);
