import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { clearmlEndpoints } from './clearml-api.ts';
import { hashName } from './clearml-last-metrics.ts';
import { endpointOf, IdMap, type Recording, readRecordings } from './clearml-recordings.ts';
import {
  basic,
  callEndpoint,
  compareAnswer,
  performSteps,
  replayRecording,
  type Step,
} from './clearml-replay.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';

// The sandbox is held to what a real clearml-server 2.3.0 answered: `session` is one session in order, replayed as one, with the sandbox's
// ids in the place of the recorded ones (a second session is in a test of its own); `clients` is what the real Python SDK and agent sent,
// one of each shape. Status, result code,
// subcode, message and headers are the same, and so is `data`: names, types, and values but for times and what follows from them.

const session = readRecordings('session');
const secondSession = readRecordings('second-session');
const clients = readRecordings('clients');

/** Recordings that are not replayed. */
const skipped: Readonly<Record<string, string>> = {
  '021-auth-create-credentials': 'by a second user; the sandbox has one',
  '022-auth-get-credentials': 'by a second user; the sandbox has one',
  '023-auth-revoke-credentials': 'by a second user; the sandbox has one',
  '298-tasks-get-all-search-text': 'not real: the recorded server had no text index',
};

/** Endpoints that the sandbox has without a recording, each with its source and a test of its own below. */
const unrecorded: Readonly<Record<string, string>> = {
  'tasks.stop_many': 'tried on the same real server: takes many ids, errors come in failed[]',
  'models.get_all': 'apiserver/database/model/model.py: get_all_query_options',
  'models.set_ready': 'apiserver/bll/model: publish_model',
  'models.update_tags': 'apiserver/bll/organization: edit_entity_tags',
};

/** Recorded endpoints that the sandbox does not have: it answers as for a name that nobody knows. */
const leftOut = ['auth.get_credentials', 'auth.revoke_credentials'];

/** Recordings whose lists hold what earlier sessions left on the real server: only names and types are compared. */
const shapeOnly: Readonly<Record<string, string>> = {
  '032-version-old-tasks-get-all-v1.5': 'shows a task of an earlier session',
  '299-tasks-get-all-empty-project-list': 'shows tasks of an earlier session',
  '305-response-br-deflate-offered': 'shows queues of earlier sessions',
  '293-tasks-get-all-order-by-metric': 'the second task is the one with the lowest id, and ids are random',
  '173-events-scalar-metrics-iter-histogram-timestamp':
    'its buckets follow from the milliseconds of the recording',
};

const taskBody = {
  type: 'training',
  project: '0b6a4d2fc6ff446bb3c4a61e3fb28459',
  comment: 'recorded',
  tags: ['rec', 'cml'],
  input: { view: {} },
  script: {
    repository: 'git://127.0.0.1/repo.git',
    branch: 'main',
    version_num: 'eebafcaa00ae4e78cbff364e77f52423f6c41d1e',
    entry_point: 'train.py',
    working_dir: '.',
    binary: 'python3',
    requirements: { pip: 'clearml\nscikit-learn\nnumpy\n' },
    diff: '',
  },
  hyperparams: {
    General: {
      C: { section: 'General', name: 'C', value: '1.0', type: 'float' },
      steps: { section: 'General', name: 'steps', value: '30' },
    },
  },
  container: { image: 'python:3.11', arguments: '--ipc=host' },
  runtime: { cml_run: '1' },
};

const queue = 'aa871e5285324ad996be2cf7e14ae2d0';
const defaultQueue = '9a2b6c93188d45448dbe62bc3f085a99';
const worker = 'peer-worker:cpu:0';

function create(id: string, name: string): Step {
  return { endpoint: 'tasks.create', body: { ...taskBody, name }, id };
}

function createAndStart(id: string, name: string): Step[] {
  return [create(id, name), { endpoint: 'tasks.started', body: { task: id } }];
}

/** What a real agent does when it takes a task, up to the training's first report. */
function takeByAgent(task: string): Step[] {
  const report = {
    worker,
    task,
    queue: defaultQueue,
    queues: [defaultQueue, '268ff217ce134ff49c7163a17e9d1207'],
  };
  return [
    { endpoint: 'queues.get_next_task', body: { queue: defaultQueue } },
    { endpoint: 'tasks.started', body: { task, force: true, status_message: 'pulled by agent' } },
    { endpoint: 'workers.status_report', body: report },
    { endpoint: 'events.add_batch', body: [{ type: 'log', task, level: 'INFO', worker, msg: 'pulled' }] },
    { endpoint: 'tasks.started', body: { task, force: true, status_message: 'launch by agent' } },
  ];
}

function reportLines(task: string, count: number): Step {
  const lines = Array.from({ length: count }, (_, index) => ({
    type: 'log',
    level: 'DEBUG',
    task,
    worker,
    msg: `line ${index}`,
    timestamp: 1795502296000 + index,
  }));
  return { endpoint: 'events.add_batch', body: lines };
}

function endByAgent(task: string, status: 'completed' | 'failed' | 'stopped', reason: string): Step {
  const message = `Changed by clearml-agent ${worker}`;
  return { endpoint: `tasks.${status}`, body: { task, status_reason: reason, status_message: message } };
}

/** The task that a recording shows. */
function taskOf(recording: string): Record<string, unknown> {
  const shown = session.find(({ name }) => name === recording)?.response.body;
  return (shown as { data: { task: Record<string, unknown> } }).data.task;
}

/** What the agent had done to a task before the recorded look at it; the values are read off the recording. */
function trainByAgent(recording: string, task: string): Step[] {
  const document = taskOf(recording);
  const script = document.script as { requirements: Record<string, unknown> };
  const metrics = Object.values(
    document.last_metrics as Record<string, Record<string, Record<string, unknown>>>,
  );
  const scalars = metrics.flatMap((variants) =>
    Object.values(variants).map(({ metric, variant, value }) => ({
      type: 'training_stats_scalar',
      task,
      iter: document.last_iteration,
      metric,
      variant,
      value,
    })),
  );
  // metric_stats shows what the last batch held; log lines count under the hash of no name.
  const endsWithLog = hashName('') in (document.metric_stats as Record<string, unknown>);
  const reports = [
    ...(scalars.length > 0 ? [{ endpoint: 'events.add_batch', body: scalars }] : []),
    reportLines(task, 5),
  ];
  return [
    { endpoint: 'tasks.dequeue', body: { task, new_status: 'in_progress' } },
    { endpoint: 'tasks.set_requirements', body: { task, requirements: script.requirements } },
    {
      endpoint: 'tasks.edit',
      body: { task, force: true, runtime: document.runtime, hyperparams: document.hyperparams },
    },
    ...(endsWithLog ? reports : reports.reverse()),
  ];
}

const agentFails = 'da2a563b1a534d749c1af693a1a11999';
const agentAborted = '123dd685ec064b169ad31cb421698d66';
const agentBadCommit = '4b115107039f4c42ad3a4a6519327f9a';
const agentCompletes = '2aba91b3efdd4357a642df63899c363b';
const sameTimes = 'c2d187c9279e490086a435eaca97112d';
const manyProject = '3b90289dad574b32a474a99020699b5e';

function enqueueForAgent(id: string, name: string): Step[] {
  return [
    create(id, name),
    { endpoint: 'tasks.enqueue', body: { task: id, queue: defaultQueue } },
    ...takeByAgent(id),
  ];
}

function agentCurves(task: string): Step {
  const values = { train: 0.9057164192199707, validation: 0.8888888955116272 };
  const events = Object.entries(values).flatMap(([variant, value]) =>
    [0, 1, 2, 3, 4].map((iter) => ({
      type: 'training_stats_scalar',
      task,
      iter,
      metric: 'accuracy',
      variant,
      value,
    })),
  );
  return { endpoint: 'events.add_batch', body: events };
}

/** Calls that were made before a recording and not recorded, by its number. */
const before: Readonly<Record<string, Step[]>> = {
  '066': [
    { endpoint: 'queues.create', body: { name: 'peer-q' }, id: '268ff217ce134ff49c7163a17e9d1207' },
    {
      endpoint: 'workers.register',
      body: { worker, queues: [defaultQueue, '268ff217ce134ff49c7163a17e9d1207'] },
    },
  ],
  '032': [{ endpoint: 'tasks.create', body: { name: 'earlier', type: 'training' } }],
  '114': [create('228ae197e24e4f9898e1f33d327f94d3', 'by name')],
  '115': [create('f9187b9443ed4610a56815435f05571e', 'new queue')],
  '117': [create('17772cd7f8f34b57a56a593d55da9422', 'unknown queue')],
  '124': [create('89d980a7cf1b4bc9b05a9ecff9490d3a', 'watched')],
  '125': [
    {
      endpoint: 'tasks.create',
      body: { name: 'no script', type: 'training' },
      id: 'e707c410b5a942f19b44c86ea793e490',
    },
  ],
  '129': [create('a086f1afa75244e9bae2eeb08830a296', 'runner')],
  '136': createAndStart('7b8aef2a28d84d3f86b884d3853d8f1f', 'reset me'),
  '155': [
    ...createAndStart(sameTimes, 'log same timestamps'),
    {
      endpoint: 'events.add_batch',
      body: Array.from({ length: 15 }, (_, index) => ({
        type: 'log',
        task: sameTimes,
        level: 'INFO',
        worker: 'rec',
        timestamp: 1700000000000 + (index < 12 ? 0 : index),
        msg: `same ${index}`,
      })),
    },
  ],
  '157': [1, 5].map((value) => ({
    endpoint: 'events.add_batch',
    body: [{ type: 'training_stats_scalar', task: sameTimes, iter: 1, metric: 'dup', variant: 'v', value }],
  })),
  '227': [
    create('6bb0f0d28156491781e316f1a72bc35a', 'stop queued'),
    { endpoint: 'tasks.enqueue', body: { task: '6bb0f0d28156491781e316f1a72bc35a', queue } },
  ],
  '232': createAndStart('cddc06a06d03453892d6b7da70f6a368', 'fails'),
  '234': [create('028fd5eab2e449c38d3c362802fea896', 'ccc')],
  '235': [create('5f66406ce7b54b86b9d78fde52891577', 'ccc')],
  '236': createAndStart('dacedbedcbce4023a5e267a9d190eeba', 'completes'),
  '244': createAndStart('6f29a7c01899433fbc09e7bb2f65e11a', 'completes and publishes'),
  '245': createAndStart('12774dd8cc9647a9aa3a86100efe437b', 'stops'),
  '248': [{ endpoint: 'tasks.dequeue', body: { task: '12774dd8cc9647a9aa3a86100efe437b' } }],
  '249': [
    ...createAndStart('9161f94bc07947559aba7529a670b63b', 'closes'),
    { endpoint: 'tasks.stopped', body: { task: '9161f94bc07947559aba7529a670b63b' } },
  ],
  '251': createAndStart('8f2de1a7c0674ff2bd5d7d783d2a426d', 'xxx'),
  '252': [
    ...createAndStart('6fc63f0a104b4a0dab3b25eafb276f2d', 'publishes'),
    { endpoint: 'tasks.completed', body: { task: '6fc63f0a104b4a0dab3b25eafb276f2d' } },
  ],
  '255': [create('462075d643fd49e79e0e3021b66edc6b', 'ccc')],
  '262': createAndStart('46305cff98164deea52f975ac7e741e0', 'resets'),
  '269': [create('bb0a935e5eef4deabb964b5429c99978', 'many 1')],
  // The scroll was read on to its end.
  '280': Array.from({ length: 4 }, () => ({
    endpoint: 'tasks.get_all',
    body: {
      project: [taskBody.project],
      tags: ['cml'],
      order_by: ['-last_update'],
      only_fields: ['id'],
      size: 4,
      scroll_id: '66e6205481d24718ae2bee3cbf6e8934',
    },
  })),
  '308': [create(agentFails, 'agent fails')],
  '309': [
    ...takeByAgent(agentFails),
    {
      endpoint: 'tasks.edit',
      body: {
        task: agentFails,
        force: true,
        runtime: { cml_run: '1', _exec_agent_hostname: 'vm' },
        hyperparams: taskOf('309-agent-tasks-get-by-id-just-taken').hyperparams,
      },
    },
  ],
  '310': [agentCurves(agentFails)],
  '312': [
    ...trainByAgent('312-agent-tasks-get-by-id-failed', agentFails),
    endByAgent(agentFails, 'failed', 'worker execution exit code 3'),
  ],
  '315': [
    ...enqueueForAgent(agentAborted, 'agent aborted'),
    ...trainByAgent('316-agent-tasks-get-by-id-stopping', agentAborted),
  ],
  '317': [
    reportLines(agentAborted, 2),
    endByAgent(agentAborted, 'stopped', 'task was stopped by tasks.stop'),
  ],
  '319': [
    ...enqueueForAgent(agentBadCommit, 'agent bad commit'),
    ...trainByAgent('319-agent-tasks-get-by-id-bad-commit', agentBadCommit),
    endByAgent(agentBadCommit, 'failed', 'failed cloning repository'),
  ],
  '321': [
    ...enqueueForAgent(agentCompletes, 'agent completes'),
    ...trainByAgent('321-agent-tasks-get-by-id-completed', agentCompletes),
    endByAgent(agentCompletes, 'completed', 'worker execution done'),
  ],
  '324': [
    { endpoint: 'projects.create', body: { name: 'rec/many' }, id: manyProject },
    ...Array.from({ length: 510 }, (_, index) => ({
      endpoint: 'tasks.create',
      body: { name: `many ${String(index).padStart(3, '0')}`, type: 'training', project: manyProject },
    })),
  ],
};

/** Recordings that look at an agent's run: what it logged and measured is the agent's, names and types are the server's. */
const agentRuns = /^3(0[89]|1\d|2[0-3])-/;

let sandbox: ClearmlSandbox;
let clockMs = Date.parse('2026-11-24T06:37:42.001Z');
const differences = new Map<string, string[]>();

async function login(lifetimeSeconds?: number): Promise<string> {
  const answer = await callEndpoint(
    sandbox,
    'auth.login',
    lifetimeSeconds === undefined ? {} : { expiration_sec: lifetimeSeconds },
  );
  return (answer.body as { data: { token: string } }).data.token;
}

/** The Authorization header that stands for the redacted one. */
async function authorizationFor({ name, request }: Recording, tokens: { valid: string; other: string }) {
  const given = request.headers.authorization;
  const number = name.slice(0, 3);
  if (given === undefined) return undefined;
  if (number === '006') return basic(sandbox.accessKey, 'wrong');
  if (number === '007') return basic('UNKNOWN', sandbox.secretKey);
  if (number === '014') {
    const token = await login(1);
    clockMs += 2000;
    return `Bearer ${token}`;
  }
  if (number === '015') return `Bearer ${tokens.valid.slice(0, -6)}AAAAAA`;
  if (number === '024' || number === '025') return `Bearer ${tokens.other}`;
  if (given.includes('redacted: Basic')) return basic(sandbox.accessKey, sandbox.secretKey);
  return given.includes('redacted') ? `Bearer ${tokens.valid}` : given;
}

const agentQueue = 'd334258fe72c44b687c960bb8ab7ed56';
const { diff: _diff, requirements: _requirements, ...scriptOfAgentTask } = taskBody.script;

function createAgentTask(id: string): Step {
  const hyperparams = { Args: { epochs: { section: 'Args', name: 'epochs', value: '5' } } };
  return {
    endpoint: 'tasks.create',
    body: {
      name: 'rec ok',
      type: 'training',
      tags: ['rec'],
      project: '58e15c389d114750b2f9d05059af982f',
      script: { ...scriptOfAgentTask, version_num: 'a6c7fe6cb738f4fa1ce39e8bc032bd7213b395bc' },
      hyperparams: { Args: { ...hyperparams.Args, lr: { section: 'Args', name: 'lr', value: '0.05' } } },
    },
    id,
  };
}

/** Calls made before a client's, by its name. */
const beforeClient: Readonly<Record<string, Step[]>> = {
  'clients/agent/queues.get_all#1': [{ endpoint: 'queues.create', body: { name: 'rec-q' }, id: agentQueue }],
  'clients/agent/tasks.started#1': [
    createAgentTask('65a7f34218ce448596420af0a42536ea'),
    { endpoint: 'tasks.enqueue', body: { task: '65a7f34218ce448596420af0a42536ea', queue: agentQueue } },
    { endpoint: 'queues.get_next_task', body: { queue: agentQueue } },
  ],
  'clients/agent/tasks.edit#5': [
    'd4668b16d2bd4cc18b389738fbfdf0f0',
    'ca4f9dfb1ff0415da91132a094a8dd2d',
    'c7a435cf6d1c4b979796c734195ddf0c',
    '4c79bf56bbba4153b5aa97ea7fb81c23',
  ].flatMap((id) => [createAgentTask(id), { endpoint: 'tasks.started', body: { task: id } }]),
};

beforeAll(async () => {
  // The clock never shows a full second: those are written without a fraction.
  sandbox = await startClearmlSandbox({ now: () => (clockMs += 2) });
  const tokens = { valid: await login(), other: await login() };
  const ids = new IdMap();
  for (const recording of session) {
    const { name } = recording;
    if (name in skipped) continue;
    await performSteps(sandbox, before[name.slice(0, 3)] ?? [], ids);
    const answer = await replayRecording(sandbox, recording, ids, await authorizationFor(recording, tokens));
    const shape = name in shapeOnly || agentRuns.test(name);
    differences.set(name, compareAnswer(recording, answer, ids, shape));
  }
  const clientIds = new IdMap();
  for (const recording of clients) {
    await performSteps(sandbox, beforeClient[recording.name] ?? [], clientIds);
    const authorization = await authorizationFor(recording, tokens);
    const answer = await replayRecording(sandbox, recording, clientIds, authorization);
    differences.set(recording.name, compareAnswer(recording, answer, clientIds, true));
  }
});

afterAll(async () => {
  await sandbox.close();
});

describe('the recorded session', () => {
  const replayed = session.filter(({ name }) => !(name in skipped));
  test.each(replayed.map(({ name }) => [name]))('%s is answered as recorded', (name) => {
    expect(differences.get(name)).toEqual([]);
  });
});

describe('what the real SDK and agent send', () => {
  test.each(clients.map(({ name }) => [name]))('%s is answered in the recorded shape', (name) => {
    expect(differences.get(name)).toEqual([]);
  });
});

describe('what the contract covers', () => {
  const recorded = new Set(
    [...session, ...secondSession, ...clients]
      .filter(({ name }) => !(name in skipped))
      .flatMap((one) => endpointOf(one) ?? []),
  );

  test('every endpoint of the sandbox has a recording, or its source is named', () => {
    const bare = Object.keys(clearmlEndpoints).filter((name) => !recorded.has(name) && !(name in unrecorded));
    expect(bare).toEqual([]);
  });

  test('no source is named for an endpoint that has a recording or is not there', () => {
    const needless = Object.keys(unrecorded).filter(
      (name) => recorded.has(name) || !(name in clearmlEndpoints),
    );
    expect(needless).toEqual([]);
  });

  test('the recorded endpoints that the sandbox leaves out are these', () => {
    const all = new Set(
      [...session, ...secondSession, ...clients]
        .filter(({ response }) => response.status !== 404)
        .flatMap((one) => endpointOf(one) ?? []),
    );
    expect([...all].filter((name) => !(name in clearmlEndpoints)).sort()).toEqual(leftOut);
  });

  test('every recording that is skipped exists', () => {
    const names = new Set(session.map(({ name }) => name));
    expect([...Object.keys(skipped), ...Object.keys(shapeOnly)].filter((name) => !names.has(name))).toEqual(
      [],
    );
  });
});

test('tasks.stop_many stops each task it knows and lists the others as failed', async () => {
  const created = await callEndpoint(sandbox, 'tasks.create', { name: 'one of many', type: 'training' });
  const { id } = (created.body as { data: { id: string } }).data;
  await callEndpoint(sandbox, 'tasks.started', { task: id });
  const unknown = '0'.repeat(32);
  const answer = await callEndpoint(sandbox, 'tasks.stop_many', {
    ids: [id, unknown],
    status_reason: 'superseded',
  });
  const { failed, succeeded } = (answer.body as { data: { failed: object[]; succeeded: object[] } }).data;
  expect(succeeded).toMatchObject([{ id, fields: { status: 'stopped', status_reason: 'superseded' } }]);
  expect(failed).toMatchObject([{ id: unknown, error: { codes: [400, 101] } }]);
});

describe('models, as the server’s source has them:', () => {
  const dataOf = (answer: { readonly body: unknown }) =>
    (answer.body as { data: Record<string, unknown> }).data;
  const metaOf = (answer: { readonly body: unknown }) =>
    (answer.body as { meta: { result_code: number; result_subcode: number } }).meta;
  const createModel = async (fields: Record<string, unknown>) =>
    dataOf(await callEndpoint(sandbox, 'models.create', { uri: 'https://files.test/m', ...fields }))
      .id as string;
  const readModels = async (filter: Record<string, unknown>) =>
    dataOf(await callEndpoint(sandbox, 'models.get_all', filter)).models as Record<string, unknown>[];

  test('get_all filters by ids and tags, and gives the fields asked for', async () => {
    const [tagged, other] = await Promise.all([
      createModel({ name: 'tagged', tags: ['gold', 'new'] }),
      createModel({ name: 'other', tags: ['new'] }),
    ]);
    const ask = { only_fields: ['id', 'tags', 'ready'] };
    const found = { id: tagged, tags: ['gold', 'new'], ready: true };
    expect(await readModels({ ...ask, id: [tagged, other], tags: ['__$all', 'gold'] })).toEqual([found]);
    expect(await readModels({ ...ask, tags: ['gold'] })).toEqual([found]);
    expect(await readModels({ ...ask, id: ['0'.repeat(32)] })).toEqual([]);
    const refused = await callEndpoint(sandbox, 'models.get_all', { only_fields: ['no_such_field'] });
    expect(metaOf(refused)).toMatchObject({ result_code: 400, result_subcode: 14 });
  });

  test('update_tags adds and removes, counts each, and passes over ids that nobody has', async () => {
    const id = await createModel({ name: 'changed', tags: ['old'] });
    const change = { ids: [id, '0'.repeat(32)], add_tags: ['new', 'new'], remove_tags: ['old'] };
    expect(dataOf(await callEndpoint(sandbox, 'models.update_tags', change))).toEqual({ updated: 2 });
    expect(await readModels({ id: [id], only_fields: ['id', 'tags'] })).toEqual([{ id, tags: ['new'] }]);
    const unknown = { ids: ['0'.repeat(32)], add_tags: ['x'] };
    expect(dataOf(await callEndpoint(sandbox, 'models.update_tags', unknown))).toEqual({ updated: 0 });
    for (const body of [{ ids: [], add_tags: ['x'] }, { ids: [id] }])
      expect(metaOf(await callEndpoint(sandbox, 'models.update_tags', body))).toMatchObject({
        result_code: 400,
        result_subcode: 12,
      });
  });

  test('set_ready publishes a model once, and its completed task unless told not to', async () => {
    const created = await callEndpoint(sandbox, 'tasks.create', { name: 'its task', type: 'training' });
    const task = dataOf(created).id as string;
    await callEndpoint(sandbox, 'tasks.started', { task });
    await callEndpoint(sandbox, 'tasks.completed', { task });
    const [alone, both] = await Promise.all(
      ['alone', 'both'].map((name) => createModel({ name, task, ready: false })),
    );
    const statusOf = async () =>
      dataOf(await callEndpoint(sandbox, 'tasks.get_by_id', { task })).task as { status: string };
    const only = { model: alone, publish_task: false };
    expect(dataOf(await callEndpoint(sandbox, 'models.set_ready', only))).toEqual({ updated: 1 });
    expect(await statusOf()).toMatchObject({ status: 'completed' });
    expect(metaOf(await callEndpoint(sandbox, 'models.set_ready', only))).toMatchObject({
      result_code: 400,
      result_subcode: 203,
    });
    const answer = dataOf(await callEndpoint(sandbox, 'models.set_ready', { model: both }));
    expect(answer).toMatchObject({ updated: 1, published_task: { id: task } });
    expect(await statusOf()).toMatchObject({ status: 'published' });
    const gone = await callEndpoint(sandbox, 'models.set_ready', { model: '0'.repeat(32) });
    expect(metaOf(gone)).toMatchObject({ result_code: 400, result_subcode: 201 });
  });
});
