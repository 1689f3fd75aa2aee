import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callEndpoint } from './clearml-replay.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';

// What a real server refuses or does otherwise than one would think, beyond what was recorded: after the source of clearml-server 2.3.0.

type Reply = Record<string, unknown>;

let sandbox: ClearmlSandbox;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
});

afterAll(async () => {
  await sandbox.close();
});

async function send(endpoint: string, body: Reply): Promise<{ code: string; message: unknown; data: Reply }> {
  const { meta, data } = (await callEndpoint(sandbox, endpoint, body)).body as { meta: Reply; data: Reply };
  return { code: `${meta.result_code}/${meta.result_subcode}`, message: meta.result_msg, data };
}

async function call(endpoint: string, body: Reply): Promise<Reply> {
  const { code, message, data } = await send(endpoint, body);
  if (code !== '200/0') throw new Error(`${endpoint}: ${message}`);
  return data;
}

async function createTask(fields: Reply = {}): Promise<string> {
  return String((await call('tasks.create', { name: 'a task', type: 'training', ...fields })).id);
}

async function getTask(task: string): Promise<Reply> {
  return (await call('tasks.get_by_id', { task })).task as Reply;
}

describe('project names', () => {
  test.each([
    ['/Team/kept 1', 'Team/kept 1'],
    ['Team/kept 2/', 'Team/kept 2'],
    ['Team//kept 3', 'Team/kept 3'],
    [' Team / kept 4 ', 'Team/kept 4'],
  ])('"%s" is kept as "%s"', async (given, kept) => {
    const { id } = await call('projects.create', { name: given, description: '' });
    expect((await call('projects.get_by_id', { project: id })).project).toMatchObject({ name: kept });
    expect(await send('projects.create', { name: kept })).toMatchObject({ code: '400/801' });
  });

  test.each([
    ['a short part', 'Team/v2', '400/12'],
    ['a short part in the middle', 'Team/v2/digits', '400/12'],
    ['a short first part', 'ab/digits', '400/12'],
    ['nothing but slashes', '//', '400/407'],
    ['nothing but blanks', '  ', '400/12'],
    ['a part of blanks', 'Team blank/ /digits', '500/0'],
    ['eleven parts', Array.from({ length: 11 }, () => 'abc').join('/'), '400/409'],
  ])('%s is refused', async (_, name, code) => {
    expect(await send('projects.create', { name })).toMatchObject({ code });
  });
});

describe('documents of tasks', () => {
  const item = { section: 'Args', name: 'lr', value: '1' };
  test.each<[string, Reply, string, string]>([
    ['two wrong tags', { tags: ['__$all', 'a', '__$x'] }, '400/16', 'values=(__$all, __$x)'],
    ['a wrong system tag', { system_tags: ['__$all'] }, '400/16', 'unsupported tag prefix'],
    ['a tag that is a number', { tags: [5] }, '500/0', 'startswith'],
    ['tags as a number', { tags: 5 }, '400/16', 'expecting list'],
    [
      'a key with $ within runtime',
      { runtime: { a: { $b: 1 } } },
      '400/800',
      'runtime=Invalid dictionary key',
    ],
    ['an empty key in runtime', { runtime: { '': 1 } }, '400/800', 'Empty keys are not allowed'],
    ['runtime as a text', { runtime: 'x' }, '400/16', 'field=runtime'],
    [
      'a parameter without a value',
      { hyperparams: { Args: { lr: { ...item, value: null } } } },
      '400/800',
      "{'value'",
    ],
    ['a parameter without a name', { hyperparams: { Args: { '': item } } }, '400/12', 'Empty parameter name'],
    ['a blank section', { hyperparams: { ' ': { lr: item } } }, '400/12', 'Empty key is not allowed'],
    [
      'a configuration without a value',
      { configuration: { cfg: { name: 'cfg' } } },
      '400/800',
      "{'cfg': {'value'",
    ],
    [
      'a configuration without a name',
      { configuration: { '': { name: 'cfg' } } },
      '400/12',
      'Empty configuration',
    ],
    ['a container image that is a number', { container: { image: 5 } }, '400/800', "container={'image'"],
    ['a branch that is a number', { script: { branch: 5 } }, '400/800', "script={'branch'"],
    ['a requirements list', { script: { requirements: ['numpy'] } }, '400/800', "script={'requirements'"],
  ])('%s: %j is refused on creation and editing', async (_, fields, code, text) => {
    const task = await createTask();
    for (const [endpoint, rest] of [
      ['tasks.create', { name: 'a task', type: 'training' }],
      ['tasks.edit', { task }],
    ] as const) {
      expect(await send(endpoint, { ...rest, ...fields })).toMatchObject({
        code,
        message: expect.stringContaining(text),
      });
    }
  });

  test('names, sections and parameters are trimmed', async () => {
    const id = await createTask({ name: ' a task ', hyperparams: { ' Args ': { ' lr ': item } } });
    expect(await getTask(id)).toMatchObject({ name: 'a task', hyperparams: { Args: { lr: item } } });
  });

  test('tasks.edit_runtime shows keys as the database has them', async () => {
    const task = await createTask();
    const added = { plain: 1, 'a.b': 2, $c: 3, __d: 4, 'e%': 5 };
    await call('tasks.edit_runtime', { task, add_or_update: added });
    const stored = { plain: 1, 'a%2Eb': 2, '%24c': 3, '%_%_d': 4, 'e%%': 5 };
    expect((await getTask(task)).runtime).toEqual(stored);
    await call('tasks.edit_runtime', { task, remove: ['a.b', '$c', '__d', 'e%'] });
    expect((await getTask(task)).runtime).toEqual({ plain: 1 });
    expect(await call('tasks.edit_runtime', { task })).toEqual({ updated: 0 });
  });

  // apiserver/bll/task/utils.py: get_task_for_update. Only tags can be changed then.
  test.each([
    ['completed', 'tasks.completed'],
    ['failed', 'tasks.failed'],
    ['stopped', 'tasks.stopped'],
  ])('tasks.edit_runtime is refused once a task is %s', async (status, endpoint) => {
    const task = await createTask({ runtime: { key: 'k' } });
    await call('tasks.started', { task });
    await call(endpoint, { task, force: true });
    expect(await getTask(task)).toMatchObject({ status });
    const edit = { task, add_or_update: { key: 'x' } };
    expect(await send('tasks.edit_runtime', edit)).toMatchObject({ code: '400/110' });
    expect(await send('tasks.edit_runtime', { task, remove: ['key'] })).toMatchObject({ code: '400/110' });
    await call('tasks.update_tags', { ids: [task], add_tags: ['reported'] });
    expect(await getTask(task)).toMatchObject({ runtime: { key: 'k' }, tags: ['reported'] });
  });
});

describe('tasks that were enqueued', () => {
  test('are edited with force and keep their place, and so does their runtime without', async () => {
    const ids = [await createTask(), await createTask()];
    const { queue } = { queue: String((await call('queues.create', { name: 'edited while queued' })).id) };
    for (const task of ids) await call('tasks.enqueue', { task, queue });
    const [task] = ids as [string];
    expect(await send('tasks.edit', { task, script: { branch: 'x' } })).toMatchObject({ code: '400/110' });
    await call('tasks.edit', { task, force: true, script: { branch: 'x' } });
    await call('tasks.edit_runtime', { task, add_or_update: { key: 'k' } });
    const { entries } = (await call('queues.get_by_id', { queue })).queue as { entries: { task: string }[] };
    expect(entries.map((entry) => entry.task)).toEqual(ids);
    expect(await getTask(task)).toMatchObject({ status: 'queued', runtime: { key: 'k' } });
  });

  test('become what they were at first when they leave a second queue', async () => {
    const task = await createTask();
    await call('tasks.enqueue', { task, queue_name: 'first queue' });
    await call('tasks.enqueue', { task, queue_name: 'second queue' });
    expect(await call('tasks.dequeue', { task })).toMatchObject({ fields: { status: 'created' } });
  });

  test('can be moved with their own queue kept, as the Kubernetes glue does', async () => {
    const task = await createTask();
    const move = { task, queue_name: 'k8s_scheduler', update_execution_queue: false };
    expect(await send('tasks.enqueue', move)).toMatchObject({ code: '400/12' });
    await call('tasks.enqueue', { task, queue_name: 'first queue' });
    const { execution } = await getTask(task);
    await call('tasks.enqueue', move);
    await call('tasks.update', { task, status_message: 'Unschedulable' });
    expect(await getTask(task)).toMatchObject({ status_message: 'Unschedulable', execution });
  });

  test('leave their entry and their status by queues.remove_task, where that is asked', async () => {
    const task = await createTask();
    await call('tasks.enqueue', { task, queue_name: 'removed from' });
    const { queue } = (await getTask(task)).execution as { queue: string };
    expect(await call('queues.remove_task', { queue, task, update_task_status: true })).toEqual({
      removed: 1,
    });
    const status_reason = `Task was removed from the queue ${queue}`;
    expect(await getTask(task)).toMatchObject({ status: 'created', status_reason });
  });

  test('have a new start, and no end, when they run again', async () => {
    const task = await createTask();
    await call('tasks.started', { task });
    await call('tasks.stopped', { task });
    const { started } = await getTask(task);
    await call('tasks.enqueue', { task, queue_name: 'again' });
    await call('tasks.started', { task });
    const again = await getTask(task);
    expect(again).not.toHaveProperty('completed');
    expect(Date.parse(String(again.started))).toBeGreaterThanOrEqual(Date.parse(String(started)));
  });
});

test('children of a deleted task name it as deleted', async () => {
  const parent = await createTask();
  const child = await createTask({ parent });
  expect(await call('tasks.delete', { task: parent })).toMatchObject({ updated_children: 1 });
  expect(await getTask(child)).toMatchObject({ parent: `__DELETED__${parent}` });
  expect(await call('tasks.get_all', { parent: [parent] })).toEqual({ tasks: [] });
});

test.each([
  ['tasks.stop_many', 'ids'],
  ['tasks.archive', 'tasks'],
  ['tasks.enqueue_many', 'ids'],
  ['events.get_task_metrics', 'tasks'],
])('%s wants one task at least', async (endpoint, field) => {
  const asked = { event_type: 'log' };
  for (const body of [{ ...asked, [field]: [] }, asked]) {
    expect(await send(endpoint, body)).toMatchObject({ code: '400/12' });
  }
});

test('numbers are read as Python reads them', async () => {
  const task = await createTask();
  const ask = (batch_size: unknown) => send('events.get_task_log', { task, batch_size });
  expect(await ask('10')).toMatchObject({ code: '200/0' });
  expect(await ask(2.5)).toMatchObject({ code: '200/0' });
  expect(await ask('ten')).toMatchObject({ code: '400/12' });
  expect(await ask({})).toMatchObject({ code: '400/12' });
});

test('metrics and variants may be called as properties that every object has', async () => {
  const task = await createTask();
  const scalar = { type: 'training_stats_scalar', task, iter: 0, value: 1 };
  await callEndpoint(sandbox, 'events.add_batch', [{ ...scalar, metric: '__proto__', variant: '__proto__' }]);
  const { variants } = await call('events.scalar_metrics_iter_raw', {
    task,
    metric: { metric: '__proto__' },
  });
  expect(Object.keys(variants as object)).toEqual(['__proto__']);
  const { metrics } = await call('events.get_scalar_metrics_and_variants', { task });
  expect(Object.keys(metrics as object)).toEqual(['__proto__']);
});

test.each(['NaN', 'Infinity', '-Infinity'])('a scalar of %s is refused with its batch', async (value) => {
  const task = await createTask();
  const line = `{"type":"training_stats_scalar","task":"${task}","iter":0,"metric":"loss","variant":"v","value":${value}}`;
  const basic = Buffer.from(`${sandbox.accessKey}:${sandbox.secretKey}`).toString('base64');
  const response = await fetch(`${sandbox.apiHost}/events.add_batch`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}`, 'content-type': 'application/json-lines' },
    body: line,
  });
  expect(response.status).toBe(500);
  expect((await getTask(task)).last_metrics).toEqual({});
});
