import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { callEndpoint } from './clearml-replay.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';
import { createHold, type Hold, type RequestGap, type StepDone } from './clearml-steps.ts';

// Requests at the same time, as clearml-server 2.3.0 in four processes carries them out. What it answers is held to the recordings in
// clearml-second-session.test.ts; here it is what becomes of the task and of the queue.

type Reply = Record<string, unknown>;

let sandbox: ClearmlSandbox;
let hold: Hold;
let queue: string;
/** Takes the place of the hold. */
let pauseAt: ((gap: RequestGap) => Promise<unknown> | undefined) | undefined;

beforeEach(async () => {
  hold = createHold();
  pauseAt = undefined;
  sandbox = await startClearmlSandbox({ atGap: (gap) => (pauseAt ?? hold.atGap)(gap) });
  queue = String((await call('queues.get_default', {})).id);
});

afterEach(async () => {
  await sandbox.close();
});

/** The result codes, and the data where it went well. */
async function send(endpoint: string, body: Reply): Promise<{ code: string; data: Reply }> {
  const { meta, data } = (await callEndpoint(sandbox, endpoint, body)).body as { meta: Reply; data: Reply };
  return { code: `${meta.result_code}/${meta.result_subcode}`, data };
}

async function call(endpoint: string, body: Reply): Promise<Reply> {
  const { code, data } = await send(endpoint, body);
  if (code !== '200/0') throw new Error(`${endpoint}: ${code}`);
  return data;
}

async function createTask(fields: Reply = {}): Promise<string> {
  return String((await call('tasks.create', { name: 'a task', type: 'training', ...fields })).id);
}

/** Status, its reason, and the ids in the queue. */
async function look(task: string): Promise<[unknown, unknown, string[]]> {
  const { status, status_reason } = (await call('tasks.get_by_id', { task })).task as Reply;
  const { entries } = (await call('queues.get_by_id', { queue })).queue as { entries: { task: string }[] };
  return [status, status_reason, entries.map((entry) => entry.task)];
}

/** Sends a request, and another once the first one is at a gap; the first one's codes. */
async function overtake(
  first: readonly [string, Reply],
  done: StepDone,
  second: readonly [string, Reply],
): Promise<string> {
  const held = hold.next(first[0], done);
  const answering = send(...first);
  await held.reached;
  await call(...second);
  held.release();
  return (await answering).code;
}

describe('enqueuing one draft at the same time', () => {
  test('is one success and refusals where nothing comes between the steps', async () => {
    const task = await createTask();
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => (await send('tasks.enqueue', { task, queue })).code),
    );
    expect(answers.sort()).toEqual(['200/0', ...Array.from({ length: 19 }, () => '400/706')]);
    expect(await look(task)).toEqual(['queued', 'failed enqueueing', [task]]);
  });

  test.each<[StepDone, string, string]>([
    ['task loaded', '400/121', 'queued'],
    ['status set', '400/706', 'created'],
    ['entry looked for', '400/703', 'created'],
  ])('overtaken at "%s" is %s, and the task ends %s with its id in the queue', async (done, code, status) => {
    const task = await createTask();
    const request = ['tasks.enqueue', { task, queue }] as const;
    expect(await overtake(request, done, request)).toBe(code);
    expect(await look(task)).toEqual([status, status === 'created' ? 'failed enqueueing' : '', [task]]);
  });

  test('goes through where each step takes a while and nobody overtakes', async () => {
    pauseAt = () => sleep(1);
    const task = await createTask();
    await call('tasks.enqueue', { task, queue });
    expect(await look(task)).toEqual(['queued', '', [task]]);
    expect((await send('tasks.enqueue', { task, queue })).code).toBe('400/706');
  });

  test('is told as a lost race where a worker has started the task before it is set back', async () => {
    const task = await createTask();
    await call('tasks.enqueue', { task, queue });
    const held = hold.next('tasks.enqueue', 'status set');
    const answering = send('tasks.enqueue', { task, queue });
    await held.reached;
    await call('tasks.started', { task });
    held.release();
    expect((await answering).code).toBe('400/121');
    expect((await look(task))[0]).toBe('in_progress');
  });
});

describe('a draft whose id is in the queue', () => {
  let task: string;

  beforeEach(async () => {
    task = await createTask();
    const request = ['tasks.enqueue', { task, queue }] as const;
    await overtake(request, 'entry looked for', request);
  });

  test('is left there by tasks.dequeue, and by enqueueing again', async () => {
    expect(await call('tasks.dequeue', { task })).toEqual({ dequeued: 1, fields: {}, updated: 0 });
    expect((await send('tasks.enqueue', { task, queue })).code).toBe('400/706');
    expect(await look(task)).toEqual(['created', 'failed enqueueing', [task]]);
  });

  test('cannot be stopped', async () => {
    expect((await send('tasks.stop', { task })).code).toBe('400/110');
  });

  test('is mended by queues.remove_task and enqueueing', async () => {
    await call('queues.remove_task', { queue, task });
    expect(await look(task)).toEqual(['created', 'failed enqueueing', []]);
    expect((await send('queues.remove_task', { queue, task })).code).toBe('400/703');
    await call('tasks.enqueue', { task, queue });
    expect(await look(task)).toEqual(['queued', '', [task]]);
  });

  test('is taken and run by a worker', async () => {
    expect(await call('queues.get_next_task', { queue })).toMatchObject({ entry: { task } });
    await call('tasks.started', { task });
    expect(await look(task)).toEqual(['in_progress', '', []]);
  });

  test('leaves all queues where it is asked for', async () => {
    await call('tasks.dequeue', { task, remove_from_all_queues: true });
    expect(await look(task)).toEqual(['created', 'failed enqueueing', []]);
  });
});

describe('other changes at the same time', () => {
  const stop = (task: string) => ['tasks.stop', { task }] as const;

  test.each<[string, string]>([
    ['tasks.completed', 'completed'],
    ['tasks.failed', 'failed'],
    ['tasks.stop', 'stopped'],
  ])('tasks.stop is 400/121 where %s came first', async (endpoint, status) => {
    const task = await createTask();
    await call('tasks.started', { task });
    expect(await overtake(stop(task), 'task loaded', [endpoint, { task }])).toBe('400/121');
    expect((await look(task))[0]).toBe(status);
  });

  test('a stop of a queued task that a worker starts meanwhile is lost', async () => {
    const task = await createTask();
    await call('tasks.enqueue', { task, queue });
    expect(await overtake(stop(task), 'entry removed', ['tasks.started', { task }])).toBe('400/121');
    expect(await look(task)).toEqual(['in_progress', '', []]);
  });

  test('tasks.dequeue is 400/121 where another one came first', async () => {
    const task = await createTask();
    await call('tasks.enqueue', { task, queue });
    const request = ['tasks.dequeue', { task }] as const;
    expect(await overtake(request, 'task loaded', request)).toBe('400/121');
    expect(await look(task)).toEqual(['created', '', []]);
  });

  test('a request for a task that was deleted meanwhile is 400/121', async () => {
    const task = await createTask();
    await call('tasks.started', { task });
    const remove = ['tasks.delete', { task, force: true }] as const;
    expect(await overtake(['tasks.completed', { task }], 'task loaded', remove)).toBe('400/121');
  });

  test('enqueueing into two queues can leave the task in none of them', async () => {
    const task = await createTask();
    const other = String((await call('queues.create', { name: 'other' })).id);
    const held = hold.next('tasks.enqueue', 'entry pushed');
    const answering = send('tasks.enqueue', { task, queue });
    await held.reached;
    const second = hold.next('tasks.enqueue', 'entry pushed');
    const answeringSecond = send('tasks.enqueue', { task, queue: other });
    await second.reached;
    held.release();
    await answering;
    second.release();
    await answeringSecond;
    expect(await look(task)).toEqual(['queued', '', []]);
  });
});

describe('creating projects at the same time', () => {
  const create = (name: string) => send('projects.create', { name });

  /** Creates a project while another request is between its look for the first one's and what follows. */
  async function createMeanwhile(first: string, meanwhile: string) {
    const held = hold.next('projects.create', 'project looked for');
    const answering = create(first);
    await held.reached;
    const { code } = await create(meanwhile);
    held.release();
    return [code, (await answering).code];
  }

  test('is 400/801 for one that somebody else has just created', async () => {
    expect(await createMeanwhile('Team', 'Team')).toEqual(['200/0', '400/801']);
  });

  test('is 400/801 for what it lies in too, and it is not created then', async () => {
    expect(await createMeanwhile('Team/two', 'Team/one')).toEqual(['200/0', '400/801']);
    const { projects } = await call('projects.get_all', { only_fields: ['name'] });
    expect((projects as Reply[]).map(({ name }) => name).sort()).toEqual(['Team', 'Team/one']);
    expect((await create('Team/two')).code).toBe('200/0');
  });
});
