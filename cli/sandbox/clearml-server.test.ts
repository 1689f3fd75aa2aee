import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readRecordings, sendRaw } from './clearml-recordings.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';

type Reply = Record<string, unknown>;

let sandbox: ClearmlSandbox;
let clockMs: number;
let requests: { endpoint: string; body: unknown }[];

beforeEach(async () => {
  clockMs = Date.parse('2026-11-24T08:00:00.001Z');
  requests = [];
  sandbox = await startClearmlSandbox({ now: () => clockMs, onRequest: (request) => requests.push(request) });
});

afterEach(async () => {
  await sandbox.close();
});

async function send(endpoint: string, body: unknown, authorization?: string) {
  const basic = Buffer.from(`${sandbox.accessKey}:${sandbox.secretKey}`).toString('base64');
  const lines = Array.isArray(body);
  const answer = await sendRaw(`${sandbox.apiHost}/v2.34/${endpoint}`, {
    method: 'POST',
    headers: {
      authorization: authorization ?? `Basic ${basic}`,
      'content-type': lines ? 'application/json-lines' : 'application/json',
    },
    body: lines ? body.map((line) => JSON.stringify(line)).join('\n') : JSON.stringify(body),
  });
  const { meta, data } = answer.body as { meta: Reply; data: Reply };
  return { status: answer.status, code: `${meta.result_code}/${meta.result_subcode}`, meta, data };
}

async function call(endpoint: string, body: unknown): Promise<Reply> {
  const { status, meta, data } = await send(endpoint, body);
  if (status !== 200) throw new Error(`${endpoint}: ${JSON.stringify(meta)}`);
  return data;
}

async function createTask(fields: Reply = {}): Promise<string> {
  return String((await call('tasks.create', { name: 'a task', type: 'training', ...fields })).id);
}

async function getTask(id: string): Promise<Reply> {
  return (await call('tasks.get_by_id', { task: id })).task as Reply;
}

async function findIds(filters: Reply): Promise<string[]> {
  const { tasks } = await call('tasks.get_all', { ...filters, only_fields: ['id'] });
  return (tasks as { id: string }[]).map(({ id }) => id);
}

async function getDefaultQueueId(): Promise<string> {
  return String((await call('queues.get_default', {})).id);
}

/** Puts a task into the default queue and takes it out as a worker does. */
async function runByWorker(task: string): Promise<void> {
  const queue = await getDefaultQueueId();
  await call('workers.register', { worker: 'gpu-1:0', queues: [queue] });
  await call('tasks.enqueue', { task, queue });
  await call('queues.get_next_task', { queue });
  await call('tasks.started', { task, force: true, status_message: 'pulled by agent' });
  await call('workers.status_report', { worker: 'gpu-1:0', task, queue, queues: [queue] });
}

describe('the server', () => {
  test('starts with one queue, tagged as the default', async () => {
    const { queues } = await call('queues.get_all', {});
    expect(queues).toMatchObject([{ name: 'default', system_tags: ['default'], entries: [] }]);
  });

  test('has credentials of its own at each start', async () => {
    const other = await startClearmlSandbox();
    await other.close();
    expect([other.accessKey, other.secretKey]).not.toEqual([sandbox.accessKey, sandbox.secretKey]);
  });

  test('names its hosts and credentials as the variables that clients read', () => {
    expect(sandbox.env).toEqual({
      CLEARML_API_HOST: sandbox.apiHost,
      CLEARML_WEB_HOST: sandbox.webHost,
      CLEARML_FILES_HOST: sandbox.filesHost,
      CLEARML_API_ACCESS_KEY: sandbox.accessKey,
      CLEARML_API_SECRET_KEY: sandbox.secretKey,
    });
  });

  test('closes at once though a client holds a connection open and sends nothing', async () => {
    const other = await startClearmlSandbox();
    const socket = connect(Number(new URL(other.apiHost).port), '127.0.0.1');
    socket.on('error', () => {}); // the reset is what is asked for
    await new Promise((resolve) => socket.once('connect', resolve));
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.write('POST /v2.34/debug.ping HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n');
    await other.close();
    await ended;
  });

  test('tells its listener the endpoint and the body of each request', async () => {
    await call('queues.get_all', { name: 'x' });
    expect(requests).toEqual([{ endpoint: 'queues.get_all', body: { name: 'x' } }]);
  });

  test('lets the cookie that a login sets stand for its token', async () => {
    const { token } = await call('auth.login', {});
    const answer = await sendRaw(`${sandbox.apiHost}/users.get_current_user`, {
      method: 'GET',
      headers: { cookie: `clearml_token_basic=${token}` },
    });
    expect(answer.status).toBe(200);
  });
});

describe('queries widen silently', () => {
  test.each([
    ['a filter that nobody knows', { 'script.version_num': ['abc'] }],
    ['an empty list of ids', { id: [] }],
    ['an empty list of tags', { tags: [] }],
    ['an empty list of statuses', { status: [] }],
    ['runtime as an object', { runtime: { key: 'k1' } }],
    ['a runtime key that is null', { 'runtime.key': null }],
    ['a size without a scroll', { size: 1 }],
  ])('%s gives all tasks', async (_, filters) => {
    const ids = [await createTask({ runtime: { key: 'k1' } }), await createTask({ tags: ['other'] })];
    expect(await findIds(filters)).toEqual(ids);
  });

  test('archived tasks are given too', async () => {
    const id = await createTask();
    await call('tasks.archive', { tasks: [id] });
    expect(await findIds({})).toEqual([id]);
  });
});

describe('queries that work', () => {
  test('a runtime key is compared with one plain value', async () => {
    const id = await createTask({ runtime: { key: 'k1' } });
    await createTask({ runtime: { key: 'k2' } });
    expect(await findIds({ 'runtime.key': 'k1' })).toEqual([id]);
    expect(await findIds({ 'runtime.key': ['k1'] })).toEqual([]);
  });

  test('_any_ finds several values of a runtime key or a commit in one request', async () => {
    const first = await createTask({ runtime: { key: 'k1' } });
    const second = await createTask({ runtime: { key: 'k2' }, script: { version_num: 'abc' } });
    await createTask({ runtime: { key: 'k3' } });
    expect(await findIds({ _any_: { fields: ['runtime.key'], pattern: '^(k1|k2)$' } })).toEqual([
      first,
      second,
    ]);
    expect(await findIds({ _any_: { fields: ['script.version_num'], pattern: '^abc$' } })).toEqual([second]);
  });

  test('two tags mean either, and with __$all both', async () => {
    const both = await createTask({ tags: ['ci', 'pr:7'] });
    const one = await createTask({ tags: ['ci'] });
    await createTask({ tags: ['by hand'] });
    expect(await findIds({ tags: ['ci', 'pr:7'] })).toEqual([both, one]);
    expect(await findIds({ tags: ['__$all', 'ci', 'pr:7'] })).toEqual([both]);
    expect(await findIds({ tags: ['ci', '__$not', 'pr:7'] })).toEqual([one]);
  });

  test('a tag that is only excluded leaves those without any tag', async () => {
    const runtime = { key: 'due' };
    const bare = await createTask({ runtime });
    const tagged = await createTask({ runtime, tags: ['done:7'] });
    await createTask({ runtime, tags: ['x', 'done'] });
    expect(await findIds({ 'runtime.key': 'due', tags: ['__$not', 'done'] })).toEqual([bare, tagged]);
  });

  test('a field of a referred document is refused', async () => {
    const { code } = await send('tasks.get_all', { only_fields: ['project.name'] });
    expect(code).toBe('400/14');
  });

  test('a hyperparameter is compared with any of the values', async () => {
    const seed = (value: string) => ({ Args: { seed: { section: 'Args', name: 'seed', value } } });
    const id = await createTask({ hyperparams: seed('1') });
    await createTask({ hyperparams: seed('2') });
    expect(await findIds({ 'hyperparams.Args.seed.value': ['1', '3'] })).toEqual([id]);
  });
});

describe('stopping', () => {
  test("a task that a worker runs is only marked, and the agent's start-up erases the mark", async () => {
    const id = await createTask();
    await runByWorker(id);
    await call('tasks.stop', { task: id });
    expect(await getTask(id)).toMatchObject({ status: 'in_progress', status_message: 'stopping' });
    await call('tasks.started', { task: id, force: true, status_message: 'launch by agent' });
    expect(await getTask(id)).toMatchObject({ status: 'in_progress', status_message: 'launch by agent' });
  });

  test('a task that was said to be stopped runs again when its agent says so', async () => {
    const id = await createTask();
    await runByWorker(id);
    await call('tasks.stopped', { task: id, force: true });
    await call('tasks.started', { task: id, force: true });
    expect(await getTask(id)).toMatchObject({ status: 'in_progress' });
  });

  test('a task whose worker has been silent for ten minutes is stopped at once', async () => {
    const id = await createTask();
    await runByWorker(id);
    clockMs += 600_000;
    await call('tasks.stop', { task: id });
    expect(await getTask(id)).toMatchObject({ status: 'stopped', status_message: 'Stopped by tests' });
  });

  test('a running task that nobody updates for two hours is stopped by the server', async () => {
    const id = await createTask();
    await runByWorker(id);
    clockMs += 2 * 60 * 60 * 1000;
    const reason = 'Forced stop (non-responsive)';
    expect(await getTask(id)).toMatchObject({
      status: 'stopped',
      status_reason: reason,
      status_message: reason,
    });
  });
});

describe('queues and workers', () => {
  test('one request tells entries, workers and the task that each worker runs', async () => {
    const running = await createTask({ name: 'running' });
    const waiting = await createTask({ name: 'waiting' });
    await runByWorker(running);
    await call('tasks.enqueue', { task: waiting, queue_name: 'default' });
    const { queues } = await call('queues.get_all_ex', { name: '^default$' });
    expect(queues).toMatchObject([
      {
        entries: [{ task: { id: waiting, name: 'waiting' } }],
        workers: [{ name: 'gpu-1:0', task: { id: running, name: 'running' } }],
      },
    ]);
  });

  test('a worker that is silent for longer than its time-out is gone', async () => {
    await call('workers.register', { worker: 'gpu-1:0', queues: [await getDefaultQueueId()], timeout: 60 });
    clockMs += 60_000;
    expect((await call('workers.get_all', {})).workers).toHaveLength(1);
    clockMs += 1;
    expect((await call('workers.get_all', {})).workers).toEqual([]);
  });

  test('a worker can register for known queues only', async () => {
    const { code } = await send('workers.register', { worker: 'gpu-1:0', queues: ['0'.repeat(32)] });
    expect(code).toBe('400/701');
  });

  test('tasks leave a queue in the order in which they came', async () => {
    const ids = [await createTask(), await createTask()];
    for (const task of ids) await call('tasks.enqueue', { task, queue_name: 'default' });
    const queue = await getDefaultQueueId();
    for (const task of ids) {
      expect(await call('queues.get_next_task', { queue })).toMatchObject({ entry: { task } });
    }
    expect(await call('queues.get_next_task', { queue })).toEqual({});
  });
});

describe('events', () => {
  test('last_update moves with log lines', async () => {
    const id = await createTask();
    const before = (await getTask(id)).last_update;
    clockMs += 5000;
    await call('events.add_batch', [{ type: 'log', task: id, msg: 'x' }]);
    expect((await getTask(id)).last_update).not.toBe(before);
  });

  test('JSON lines are refused where the content type does not announce them', async () => {
    const id = await createTask();
    const event = JSON.stringify({ type: 'log', task: id, msg: 'x' });
    const answer = await sendRaw(`${sandbox.apiHost}/events.add_batch`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${sandbox.accessKey}:${sandbox.secretKey}`).toString('base64')}`,
        'content-type': 'application/json',
      },
      body: `${event}\n${event}`,
    });
    expect(answer.status).toBe(400);
  });

  test('a task keeps the last values of 2,000 metrics and no more', async () => {
    const id = await createTask();
    const scalars = Array.from({ length: 2500 }, (_, index) => ({
      type: 'training_stats_scalar',
      task: id,
      iter: 1,
      metric: `m${index}`,
      variant: 'v',
      value: index,
    }));
    await call('events.add_batch', scalars);
    expect(Object.keys((await getTask(id)).last_metrics as object)).toHaveLength(2000);
  });

  test('a metric may be called like a property that every object has', async () => {
    const id = await createTask();
    const scalar = { type: 'training_stats_scalar', task: id, iter: 0, variant: 'constructor', value: 1 };
    await call('events.add_batch', [{ ...scalar, metric: '__proto__' }]);
    const curves = await call('events.scalar_metrics_iter_histogram', { task: id });
    expect(Object.keys(curves)).toEqual(['__proto__']);
    const { metrics } = await call('events.multi_task_scalar_metrics_iter_histogram', { tasks: [id] });
    expect(Object.keys(metrics as object)).toEqual(['__proto__']);
  });

  test('going forward from a time loses nothing and repeats nothing', async () => {
    const id = await createTask();
    const lines = Array.from({ length: 1000 }, (_, index) => ({
      type: 'log',
      task: id,
      timestamp: 1_700_000_000_000 + Math.floor(index / 7),
      msg: String(index),
    }));
    await call('events.add_batch', lines.slice(500));
    await call('events.add_batch', lines.slice(0, 500));
    const seen: unknown[] = [];
    for (let from = 0; ; ) {
      const page = await call('events.get_task_log', {
        task: id,
        batch_size: 50,
        navigate_earlier: false,
        from_timestamp: from,
      });
      const events = page.events as { msg: string; timestamp: number }[];
      if (events.length === 0) break;
      seen.push(...events.map(({ msg }) => Number(msg)));
      from = events.at(-1)?.timestamp ?? 0;
    }
    expect(seen).toHaveLength(1000);
    expect(new Set(seen).size).toBe(1000);
  });
});

describe('the files server', () => {
  const upload = Buffer.concat([
    Buffer.from(
      '--b\r\nContent-Disposition: form-data; name="/p/a task.1/model.pkl"; filename="/p/a task.1/model.pkl"\r\n' +
        'Content-Type: binary/octet-stream\r\n\r\n',
    ),
    Buffer.from([0, 13, 10, 255, 128, 45, 45]),
    Buffer.from('\r\n--b--\r\n'),
  ]);

  async function bearer(): Promise<Record<string, string>> {
    return { authorization: `Bearer ${(await call('auth.login', {})).token}` };
  }

  test('gives back what was uploaded, byte by byte', async () => {
    const headers = await bearer();
    const answer = await sendRaw(`${sandbox.filesHost}/`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'multipart/form-data; boundary=b' },
      body: upload,
    });
    expect(answer.body).toBe('["p/a task.1/model.pkl"]');
    const response = await fetch(`${sandbox.filesHost}/p/a%20task.1/model.pkl`, { headers });
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0, 13, 10, 255, 128, 45, 45]);
  });

  test('takes no basic authentication and no request without a token', async () => {
    const basic = `Basic ${Buffer.from(`${sandbox.accessKey}:${sandbox.secretKey}`).toString('base64')}`;
    for (const headers of [{ authorization: basic }, {}]) {
      const { status } = await sendRaw(`${sandbox.filesHost}/x`, { method: 'GET', headers });
      expect(status).toBe(401);
    }
  });

  test('does not know a file that nobody uploaded, nor one that was deleted', async () => {
    const headers = await bearer();
    const post = { ...headers, 'content-type': 'multipart/form-data; boundary=b' };
    await sendRaw(`${sandbox.filesHost}/`, { method: 'POST', headers: post, body: upload });
    const file = `${sandbox.filesHost}/p/a%20task.1/model.pkl`;
    expect((await sendRaw(file, { method: 'DELETE', headers })).status).toBe(200);
    expect((await sendRaw(file, { method: 'GET', headers })).status).toBe(404);
  });

  test.each(readRecordings('files').map((recording) => [recording.name, recording] as const))(
    'answers %s as recorded',
    async (_, { request, response }) => {
      const { status, body } = await sendRaw(`${sandbox.filesHost}${request.path}`, {
        method: request.method,
        headers: { ...(await bearer()), ...request.headers },
        // The recording was cut within the file.
        body: `${request.body}\r\n\r\n--${request.headers['content-type']?.split('boundary=')[1]}--\r\n`,
      });
      expect([status, body]).toEqual([response.status, response.body]);
    },
  );
});

describe('the web page', () => {
  test('shows the task that a link leads to, says whose page it is, and escapes what it shows', async () => {
    const id = await createTask({ name: '<b>task</b>' });
    await call('events.add_batch', [{ type: 'log', task: id, msg: '<script>alert(1)</script>' }]);
    const response = await fetch(`${sandbox.webHost}/projects/p/tasks/${id}/output/log`);
    const html = await response.text();
    expect(html).toContain("This page is the sandbox's");
    expect(html).toContain('&#60;b&#62;task&#60;/b&#62;');
    expect(html).not.toContain('<script>');
  });

  test('says so where there is no such task', async () => {
    const { status } = await fetch(`${sandbox.webHost}/projects/p/tasks/nope/output/log`);
    expect(status).toBe(404);
  });
});
