import type { AskServer } from '../sandbox/direct-answer.ts';

/** A task document as ClearML gives it; tests look at whatever field they are about. */
// biome-ignore lint/suspicious/noExplicitAny: the server's documents are open-ended, and a test names the fields it means
export type TaskDocument = Record<string, any>;

/** Does to a ClearML server what agents, trainings and people do, for tests. */
export interface ClearmlDriver {
  /** Calls an endpoint and gives its `data`. @throws Error with ClearML's code on a refusal */
  call(endpoint: string, body?: object): Promise<TaskDocument>;
  getTask(id: string): Promise<TaskDocument>;
  /** All tasks there are. */
  listTasks(): Promise<TaskDocument[]>;
  /** A draft as somebody's own script would create it. */
  createTask(fields?: object): Promise<string>;
  /** What an agent does first with a task it took from the queue. */
  startTask(id: string): Promise<void>;
  /** Sends console lines, as one message each. */
  logLines(id: string, lines: readonly string[], firstTimestampMs?: number): Promise<void>;
  /** Reports a series of scalars, one iteration each. */
  reportScalars(id: string, metric: string, variant: string, values: readonly number[]): Promise<void>;
  /**
   * Sets params by `Section/name` as the SDK of a running training does (2.1.12: task.py `_set_parameters`): all others get
   * the type of a text, unless they are empty.
   */
  setParams(id: string, params: Readonly<Record<string, DeclaredParam>>): Promise<void>;
  completeTask(id: string): Promise<void>;
  failTask(id: string, reason?: string): Promise<void>;
}

/** A param that a training declares. */
export interface DeclaredParam {
  readonly value: string;
  readonly type: string;
  readonly description?: string;
}

/**
 * Speaks to the server that the `CLEARML_*` variables name.
 *
 * @param ask asks it in another way than by HTTP
 */
export function createClearmlDriver(
  env: Readonly<Record<string, string>>,
  ask: AskServer = askByHttp(env.CLEARML_API_HOST ?? ''),
): ClearmlDriver {
  const credentials = `${env.CLEARML_API_ACCESS_KEY}:${env.CLEARML_API_SECRET_KEY}`;
  const headers = {
    authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
    'content-type': 'application/json',
  };

  async function send(
    endpoint: string,
    body: string,
    contentType = 'application/json',
  ): Promise<TaskDocument> {
    const response = await ask({
      method: 'POST',
      path: `/v2.34/${endpoint}`,
      headers: { ...headers, 'content-type': contentType },
      body: Buffer.from(body),
    });
    const answer: TaskDocument = JSON.parse(response.body.toString('utf8'));
    if (response.status !== 200) {
      const { result_code, result_subcode, result_msg } = answer.meta;
      throw new Error(`${endpoint}: ${result_code}/${result_subcode} ${result_msg}`);
    }
    return answer.data;
  }

  const call: ClearmlDriver['call'] = (endpoint, body = {}) => send(endpoint, JSON.stringify(body));
  const addEvents = (events: readonly object[]) =>
    send(
      'events.add_batch',
      events.map((event) => JSON.stringify(event)).join('\n'),
      'application/json-lines',
    );

  return {
    call,
    getTask: async (id) => (await call('tasks.get_by_id', { task: id })).task,
    listTasks: async () => (await call('tasks.get_all', { order_by: ['created'] })).tasks,
    createTask: async (fields) =>
      (await call('tasks.create', { name: 'a task', type: 'training', ...fields })).id,
    async startTask(id) {
      await call('tasks.dequeue', { task: id, new_status: 'in_progress' });
      await call('tasks.started', { task: id, force: true });
    },
    async logLines(id, lines, firstTimestampMs = Date.now()) {
      await addEvents(
        lines.map((msg, index) => ({
          type: 'log',
          task: id,
          timestamp: firstTimestampMs + index,
          level: 'info',
          worker: 'driver',
          msg,
        })),
      );
    },
    async reportScalars(id, metric, variant, values) {
      await addEvents(
        values.map((value, iter) => ({
          type: 'training_stats_scalar',
          task: id,
          timestamp: Date.now(),
          iter,
          metric,
          variant,
          value,
        })),
      );
    },
    async setParams(id, params) {
      const { hyperparams = {} } = (await call('tasks.get_by_id', { task: id })).task;
      for (const entries of Object.values<TaskDocument>(hyperparams)) {
        for (const entry of Object.values<TaskDocument>(entries)) {
          if (entry.value !== '') entry.type ||= 'str';
          entry.description ??= '';
        }
      }
      for (const [path, param] of Object.entries(params)) {
        const [section = '', ...rest] = path.split('/');
        const name = rest.join('/');
        hyperparams[section] = {
          ...hyperparams[section],
          [name]: { section, name, description: '', ...param },
        };
      }
      await call('tasks.edit', { task: id, force: true, hyperparams });
    },
    async completeTask(id) {
      await call('tasks.completed', { task: id, force: true });
    },
    async failTask(id, reason = 'worker execution exit code 1') {
      await call('tasks.failed', { task: id, force: true, status_reason: reason });
    },
  };
}

function askByHttp(host: string): AskServer {
  return async ({ method, path, headers, body }) => {
    const response = await fetch(`${host}${path}`, {
      method,
      // A test's clock can't see who decompresses.
      headers: { ...(headers as Readonly<Record<string, string>>), 'accept-encoding': 'identity' },
      body: new Uint8Array(body),
    });
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: Buffer.from(await response.arrayBuffer()),
    };
  };
}
