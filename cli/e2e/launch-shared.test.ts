import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import type { TaskDocument } from '../dev/clearml-driver.ts';
import { runProgramHere } from '../dev/program-run.ts';
import {
  breakRequests,
  CLONE_URL,
  clock,
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  publish,
  repository,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

/** Another commit with the same files: amended, squashed, or of another pull request. */
function commitSameFiles(): string {
  repository.git('commit', '--quiet', '--amend', '--message', `Same files ${Math.random()}`);
  publish();
  return repository.git('rev-parse', 'HEAD');
}

async function describePush(commit: string): Promise<Record<string, string>> {
  const env = await describePullRequest(0, { head: commit });
  const file = `${folder}/push-${commit}.json`;
  const event = {
    ref: 'refs/heads/main',
    after: commit,
    before: '0'.repeat(40),
    repository: { clone_url: CLONE_URL, default_branch: 'main' },
  };
  await writeFile(file, JSON.stringify(event));
  return {
    ...env,
    GITHUB_EVENT_NAME: 'push',
    GITHUB_EVENT_PATH: file,
    GITHUB_REF: 'refs/heads/main',
    GITHUB_SHA: commit,
  };
}

/** `closed`: ends what only this pull request uses. */
async function close(number: number, more: Record<string, string> = {}) {
  const env = { ...sandbox.env, ...(await describePullRequest(number, { id: '2000' })), ...more };
  return runProgramHere(check, { args: ['--abort'], env, cwd: folder, clock });
}

const placeOf = ({ script }: TaskDocument) => [script.version_num, script.branch, script.repository];

describe('a task that still waits', () => {
  test('trains the commit of the last launch that reuses it, at its place in the queue', async () => {
    const first = await launchTask([], await describePullRequest(7, { branch: 'gone' }));
    const behind = await launchTask(['--param', 'a=1'], await describePullRequest(9));
    const commit = commitSameFiles();
    const fork = 'https://github.com/fork/digits.git';
    const { id } = await launchTask(
      [],
      await describePullRequest(8, { head: commit, branch: 'topic', cloneUrl: fork }),
    );
    expect(id).toBe(first.id);
    const task = await driver.getTask(id);
    expect(placeOf(task)).toEqual([commit, 'topic', fork]);
    // The rest of the script is as it was.
    expect({ ...task.script, version_num: '', branch: '', repository: '' }).toEqual({
      ...first.script,
      version_num: '',
      branch: '',
      repository: '',
    });
    expect(task.comment).toContain(`/commit/${commit} (branch topic)`);
    expect(task.status).toBe('queued');
    const queue = await driver.call('queues.get_by_id', { queue: task.execution.queue });
    expect(queue.queue.entries.map((entry: TaskDocument) => entry.task)).toEqual([id, behind.id]);
  });

  test('trains the amended commit of its own pull request', async () => {
    const first = await launchTask([], await describePullRequest(7, { id: '1000' }));
    const commit = commitSameFiles();
    const { id } = await launchTask([], await describePullRequest(7, { id: '1001', head: commit }));
    expect(id).toBe(first.id);
    expect(placeOf(await driver.getTask(id))).toEqual([commit, 'feature', CLONE_URL]);
  });

  test('trains the pushed commit after the merge, whatever a pull request launches afterwards', async () => {
    const first = await launchTask([], await describePullRequest(7));
    const pushed = commitSameFiles();
    const { id } = await launchTask([], await describePush(pushed));
    expect(id).toBe(first.id);
    expect(placeOf(await driver.getTask(id))).toEqual([pushed, 'main', CLONE_URL]);
    await launchTask([], await describePullRequest(8, { head: commitSameFiles() }));
    expect(placeOf(await driver.getTask(id))).toEqual([pushed, 'main', CLONE_URL]);
    // Closing both leaves the branch's.
    for (const number of [7, 8]) expect(await close(number)).toMatchObject({ exitCode: 0 });
    expect(await driver.getTask(id)).toMatchObject({ status: 'queued', script: { version_num: pushed } });
  });

  test('is handed to who is left, by a pull request that is closed or superseded', async () => {
    const head = repository.git('rev-parse', 'HEAD');
    const { id } = await launchTask([], await describePullRequest(7, { branch: 'first' }));
    const commit = commitSameFiles();
    await launchTask([], await describePullRequest(8, { head: commit, branch: 'second', id: '1000' }));
    expect(placeOf(await driver.getTask(id))).toEqual([commit, 'second', CLONE_URL]);
    expect((await close(8)).exitCode).toBe(0);
    expect(placeOf(await driver.getTask(id))).toEqual([head, 'first', CLONE_URL]);

    await launchTask([], await describePullRequest(8, { head: commit, branch: 'second', id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await launchTask([], await describePullRequest(8, { branch: 'second', id: '1001' }));
    const left = await driver.getTask(id);
    expect([left.status, ...placeOf(left)]).toEqual(['queued', head, 'first', CLONE_URL]);
    expect(Object.keys(left.runtime).filter((key) => key.startsWith('ci_use'))).toEqual(['ci_use_7']);
    // The last one ends it.
    expect((await close(7)).exitCode).toBe(0);
    expect((await driver.getTask(id)).status).toBe('created');
  });

  test('that an agent takes meanwhile is said to train the former commit perhaps', async () => {
    const { id } = await launchTask([], await describePullRequest(7));
    const commit = commitSameFiles();
    // What an agent sends when it takes a task.
    const take = () => driver.call('tasks.dequeue', { task: id, new_status: 'in_progress' });
    let isTaken = false;
    const env = await breakRequests((endpoint) => {
      if (endpoint !== 'tasks.edit' || isTaken) return undefined;
      isTaken = true;
      return { kind: 'hold', until: take() };
    });
    const run = await launch([], { env: { ...(await describePullRequest(8, { head: commit })), ...env } });
    expect(run.stderr).not.toContain('error:');
    expect(run).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(run.stderr).toContain(
      `::warning::an agent took task ${id} while it was given commit ${commit.slice(0, 10)}: it may train the former commit`,
    );
  });

  test('that runs already keeps its commit', async () => {
    const first = await launchTask([], await describePullRequest(7));
    await driver.startTask(first.id);
    await launchTask([], await describePullRequest(8, { head: commitSameFiles() }));
    expect(placeOf(await driver.getTask(first.id))).toEqual(placeOf(first));
  });
});

/** After a merge the base branch is launched, and the pull request's tasks are ended, at the same moment. */
describe('a task that the base branch takes while its pull request is closed', () => {
  const start = async (isRunning: boolean) => {
    const { id } = await launchTask([], await describePullRequest(7));
    if (isRunning) await driver.startTask(id);
    return id;
  };
  const holdOnce = (at: (endpoint: string) => boolean, until: () => Promise<unknown>) => {
    let isHeld = false;
    return breakRequests((endpoint) => {
      if (isHeld || !at(endpoint)) return undefined;
      isHeld = true;
      return { kind: 'hold', until: until() };
    });
  };
  const expectTrained = async (run: { readonly exitCode: number | null; readonly stdout: string }) => {
    expect(run.exitCode).toBe(0);
    const task = await driver.getTask(run.stdout.trim());
    expect(['queued', 'in_progress']).toContain(task.status);
    expect(task.runtime).toMatchObject({ ci_use_branch: expect.anything() });
    expect(task.runtime.ci_ended).toBeUndefined();
    return task;
  };

  test.each([false, true])('is trained though it was ended first (running: %s)', async (isRunning) => {
    const id = await start(isRunning);
    const pushed = await describePush(repository.git('rev-parse', 'HEAD'));
    const env = await holdOnce(
      (endpoint) => endpoint === 'tasks.edit_runtime',
      () => close(7),
    );
    const task = await expectTrained(await launch([], { env: { ...pushed, ...env } }));
    expect(task.id === id).toBe(!isRunning);
  });

  test.each([false, true])('goes on though it was to be ended (running: %s)', async (isRunning) => {
    const id = await start(isRunning);
    const pushed = await describePush(repository.git('rev-parse', 'HEAD'));
    let run: Awaited<ReturnType<typeof launch>> | undefined;
    const env = await holdOnce(
      (endpoint) => endpoint === 'tasks.edit_runtime',
      async () => {
        run = await launch([], { env: pushed });
      },
    );
    const closed = await close(7, env);
    expect(closed.exitCode).toBe(0);
    expect(closed.stderr).toContain(`leaving task ${id} alone`);
    const task = await expectTrained(run ?? { exitCode: null, stdout: '' });
    expect(task.id).toBe(id);
    expect(Object.keys(task.runtime).filter((key) => key.startsWith('ci_use'))).toEqual(['ci_use_branch']);
  });

  test('waits for who is ending it, and is enqueued again', async () => {
    const id = await start(false);
    const pushed = await describePush(repository.git('rev-parse', 'HEAD'));
    let closing: Promise<unknown> = Promise.resolve();
    const held = await holdOnce(
      (endpoint) => endpoint === 'tasks.dequeue',
      () => clock.sleep(600),
    );
    const env = await holdOnce(
      (endpoint) => endpoint === 'tasks.edit_runtime',
      async () => {
        closing = close(7, held);
        await clock.sleep(300);
      },
    );
    const run = await launch([], { env: { ...pushed, ...env } });
    await closing;
    expect((await expectTrained(run)).id).toBe(id);
  });
});

describe('tags are for people', () => {
  const setTags = (id: string, tags: string[]) => driver.call('tasks.edit', { task: id, tags, force: true });

  test('a training that replaces its tags is superseded all the same', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    await driver.startTask(older.id);
    await setTags(older.id, ['mine']);
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await launchTask([], await describePullRequest(7, { id: '1001' }));
    expect((await driver.getTask(older.id)).status).toBe('stopped');
  });

  test.each([
    ['another pull request', async () => describePullRequest(8)],
    ['a branch', async () => describePush(repository.git('rev-parse', 'HEAD'))],
  ])('one that %s reuses goes on, whatever its tags are', async (_, other) => {
    const { id } = await launchTask([], await describePullRequest(7));
    await driver.startTask(id);
    await launchTask([], await other());
    await setTags(id, ['mine']);
    expect(await close(7)).toMatchObject({ exitCode: 0 });
    expect((await driver.getTask(id)).status).toBe('in_progress');
  });

  test('a clone by hand with our tags is nobody’s to end', async () => {
    const original = await launchTask([], await describePullRequest(7));
    const clone = (await driver.call('tasks.clone', { task: original.id, new_task_name: 'mine' })).id;
    await driver.call('tasks.enqueue', { task: clone, queue: original.execution.queue });
    expect((await driver.getTask(clone)).tags).toContain('pr:7');
    expect((await close(7)).exitCode).toBe(0);
    expect((await driver.getTask(original.id)).status).toBe('created');
    expect((await driver.getTask(clone)).status).toBe('queued');
  });

  test('a note that the training overwrites at once is made again', async () => {
    const { id, runtime } = await launchTask([], await describePullRequest(7));
    await driver.startTask(id);
    let overwrites = 0;
    const writeBack = () => {
      overwrites += 1;
      return driver.call('tasks.edit', { task: id, runtime, force: true });
    };
    let isNoted = false;
    const env = await breakRequests((endpoint, _, { body }) => {
      if (endpoint === 'tasks.edit_runtime') isNoted = true;
      if (!isNoted || endpoint !== 'tasks.get_all' || !body.includes(id)) return undefined;
      isNoted = false;
      return { kind: 'hold', until: overwrites === 0 ? writeBack() : Promise.resolve() };
    });
    await launchTask([], { ...(await describePullRequest(8)), ...env });
    expect((await driver.getTask(id)).runtime).toHaveProperty('ci_use_8');
    expect(overwrites).toBe(1);
  });

  test('on a server that can note nothing, the tags tell it', async () => {
    const { id } = await launchTask([], await describePullRequest(7));
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.edit_runtime'
        ? {
            kind: 'answer',
            status: 404,
            body: JSON.stringify({
              meta: { result_code: 404, result_subcode: 0, result_msg: 'Unable to find endpoint' },
              data: {},
            }),
          }
        : undefined,
    );
    await launchTask([], { ...(await describePullRequest(8)), ...env });
    expect((await driver.getTask(id)).tags).toContain('pr:8');
    expect((await close(7)).exitCode).toBe(0);
    expect((await driver.getTask(id)).status).toBe('queued');
  });
});
