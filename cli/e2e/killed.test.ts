import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as report } from '../create-stats-comment.ts';
import { buildBundles } from '../dev/bundle.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, type SeenRequest, startFaultProxy } from '../dev/fault-proxy.ts';
import { type ProgramName, type ProgramRun, runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { main as launch } from '../launch-training-task.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import type { World } from '../shell/world.ts';
import { noteDue } from './comment-setup.ts';

const MAINS: Readonly<Record<ProgramName, (world: World) => Promise<number>>> = {
  'launch-training-task': launch,
  'check-task-running': check,
  'create-stats-comment': report,
};

/** Holds the built programs: as processes they start in a quarter of the source's time. */
const bundles = mkdtempSync(join(tmpdir(), 'killed-'));

let sandbox: Sandbox;
let driver: ClearmlDriver;

beforeAll(() => buildBundles(bundles));

afterAll(() => rmSync(bundles, { recursive: true }));

beforeEach(async () => {
  await startAnew();
});

afterEach(() => sandbox.close());

const HEAD = 'a'.repeat(40);

async function startAnew(): Promise<void> {
  sandbox = await startSandbox({
    github: {
      pulls: [{ number: 7, headRef: 'feature', headSha: HEAD, baseRef: 'main' }],
      permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
    },
  });
  driver = createClearmlDriver(sandbox.clearml.env);
}

function stepEnv(): Readonly<Record<string, string>> {
  return { ...sandbox.env, PR_NUMBER: '7', GITHUB_RUN_ID: '1000' };
}

/**
 * Runs a program that is killed at its n-th request, before or after the server has applied it.
 *
 * @returns how the run ended, and how many requests it made
 */
async function runAndKill(
  program: ProgramName,
  args: readonly string[],
  at: number,
  isApplied: boolean,
): Promise<{ run: ProgramRun; requests: number }> {
  const proxies: FaultProxy[] = [];
  let requests = 0;
  let kill: () => void = () => undefined;
  const watch = async (target: string) => {
    const proxy = await startFaultProxy(target, () => {
      requests += 1;
      if (requests !== at) return undefined;
      // The request goes on its way; the program is gone before it is answered.
      setImmediate(kill);
      return { kind: 'silence', isApplied };
    });
    proxies.push(proxy);
    return proxy.url;
  };
  try {
    const run = await runProgramProcess(program, {
      args,
      cwd: '/',
      bundles,
      env: {
        ...stepEnv(),
        CLEARML_API_HOST: await watch(sandbox.clearml.apiHost),
        GITHUB_API_URL: await watch(sandbox.github.apiUrl),
      },
      onStart: (child) => {
        kill = () => child.kill('SIGKILL');
      },
    });
    // What was sent is applied before the step runs again.
    const isUnderWay = ({ answeredAtMs, fault }: SeenRequest) =>
      answeredAtMs === undefined && (isApplied || fault !== 'silence');
    while (proxies.some(({ seen }) => seen.some(isUnderWay))) await sleep(1);
    return { run, requests };
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

/** Kills the program at each request, each time runs the step again, and hands over what is there then. */
async function killEverywhere(
  program: ProgramName,
  prepare: () => Promise<readonly string[]>,
  judge: (rerun: Pick<ProgramRun, 'stdout'>) => Promise<void>,
): Promise<void> {
  let cells = 0;
  for (let at = 1; ; at += 1) {
    let isOver = false;
    for (const isApplied of [false, true]) {
      await sandbox.close();
      await startAnew();
      const args = await prepare();
      const { run, requests } = await runAndKill(program, args, at, isApplied);
      isOver = requests < at;
      if (isOver) break;
      expect(run.signal).toBe('SIGKILL');
      // In this process: there is nothing left to kill.
      const again = await runProgramHere(MAINS[program], { args, cwd: '/', env: stepEnv() });
      expect({ at, isApplied, ...again }).toMatchObject({ exitCode: 0 });
      await judge(again);
      cells += 1;
    }
    if (isOver) break;
  }
  expect(cells).toBeGreaterThan(2);
}

async function createEndedTask(
  end: 'completed' | 'failed' = 'completed',
  runtime: Readonly<Record<string, string>> = {},
): Promise<string> {
  const script = { repository: 'https://github.com/acme/digits.git', branch: 'feature', version_num: HEAD };
  const id = await driver.createTask({ script, runtime });
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', [0.5, 0.75]);
  await (end === 'failed' ? driver.failTask(id) : driver.completeTask(id));
  return id;
}

describe('killed at any of its requests, and then run again,', () => {
  test('launch ends with one queued task, and names it', async () => {
    await killEverywhere(
      'launch-training-task',
      async () => ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)],
      async ({ stdout }) => {
        const tasks = await driver.listTasks();
        expect(
          tasks.filter((task) => task.status !== 'created').map((task) => [task.id, task.status]),
        ).toEqual([[stdout.trim(), 'queued']]);
      },
    );
  });

  test('check gives the same result', async () => {
    await killEverywhere(
      'check-task-running',
      async () => [await createEndedTask()],
      async ({ stdout }) => expect(stdout).toBe('completed\n'),
    );
  });

  test('comment leaves one comment', async () => {
    await killEverywhere(
      'create-stats-comment',
      async () => [await createEndedTask()],
      async () => {
        expect(sandbox.github.comments(7)).toEqual([
          expect.objectContaining({ body: expect.stringContaining('0.75') }),
        ]);
      },
    );
  });

  test('comment reports what no job waits for once: a comment, a status, and the tag that says so', async () => {
    let task = '';
    await killEverywhere(
      'create-stats-comment',
      async () => {
        task = await createEndedTask('completed', noteDue({ commit: HEAD }));
        const entry = { pullRequest: 7, commit: HEAD, taskIds: [task], state: 'ended' };
        return ['--due', JSON.stringify([entry]), '--status', 'ClearML'];
      },
      async () => {
        expect(sandbox.github.comments(7)).toHaveLength(1);
        expect(sandbox.github.statuses(HEAD).map(({ state }) => state)).toEqual(['success']);
        expect((await driver.getTask(task)).tags).toEqual(['ci-reported', 'ci-reported:7']);
      },
    );
  });

  test('comment leaves one comment, the new one, where it was to replace another verdict', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'killed-'));
    const settings = join(folder, 'settings.yml');
    writeFileSync(settings, 'comment: recreate\n');
    let old: number | undefined;
    try {
      await killEverywhere(
        'create-stats-comment',
        async () => {
          const args = [await createEndedTask('failed'), '--config', settings];
          await runProgramHere(report, { args, env: { ...sandbox.env, PR_NUMBER: '7' } });
          [{ id: old } = { id: undefined }] = sandbox.github.comments(7);
          return [await createEndedTask(), '--config', settings];
        },
        async () => {
          const [comment, ...more] = sandbox.github.comments(7);
          expect(more).toEqual([]);
          expect(comment?.body).toContain('0.75');
          expect(comment?.id).not.toBe(old);
        },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
