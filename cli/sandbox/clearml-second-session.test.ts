import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { IdMap, readRecordings } from './clearml-recordings.ts';
import { basic, compareAnswer, performSteps, replayRecording, type Step } from './clearml-replay.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';
import { createHold, type StepDone } from './clearml-steps.ts';

// A second session with the same version of the server, in four processes and with a real search engine: what happens between the steps
// of requests at the same time, what is refused, and where it keeps to less than one would think. It is replayed as the first one is,
// with its user renamed to the first one's. The clock of the sandbox moves with each look at it.

const recordings = readRecordings('second-session');
const queue = '0fe64e198f934eb3a60bb7b7c17dc2c0';
const project = '5e56053604cd4f35b3eb938ecc8b6f49';
const raced = 'aab9cf4c04c243ecaa0f0cd9eee68e0a';
const stuck = '0d7cf9e6749b4bd5af5b455b515bcaf2';
const dequeuedTwice = 'de5a80f57e2040a2a10a2b962b371369';
const stopped = '968a5862c1d34b52a77c2ba76ad7f1b8';
const archived = 'a366783cce1a4d818c87e2930404892a';
const parent = '633c02ab9cf2490e918925f1980a4cfb';
const controller = '6ab6b8c258c240e8b873642723ee7a6e';
const edited = 'f7f8e91a1df540c687ea72f71e11d595';
const running = 'c280c56e9fda49ca8ba1e0beef71fcb6';

const script = {
  repository: 'https://github.example/o/r.git',
  branch: 'main',
  version_num: 'a'.repeat(40),
  entry_point: 'train_model.py',
  working_dir: '.',
};

function create(name: string, id: string, more: Record<string, unknown> = {}): Step {
  return { endpoint: 'tasks.create', body: { name, type: 'training', project, script, ...more }, id };
}

function enqueue(task: string): Step {
  return { endpoint: 'tasks.enqueue', body: { task, queue } };
}

function start(task: string): Step {
  return { endpoint: 'tasks.started', body: { task } };
}

/** A made-up id in the recordings' ids, for tasks that no recording names. */
function unnamed(number: number): string {
  return String(number).padStart(32, 'e');
}

const hundredAndOne = recordings.find(({ name }) => name.startsWith('342'))?.request.body as {
  tasks: string[];
};

/** Calls that were made before a recording and not recorded, by its number. */
const before: Readonly<Record<string, Step[]>> = {
  '327': [
    { endpoint: 'queues.create', body: { name: 'recordings-1795834097' }, id: queue },
    { endpoint: 'projects.create', body: { name: 'recordings 1795834097' }, id: project },
    create('draft', raced),
  ],
  '328': [create('draft', stuck)],
  '330': [{ endpoint: 'tasks.dequeue', body: { task: raced } }],
  '339': [create('dequeued twice', dequeuedTwice), enqueue(dequeuedTwice)],
  '340': [create('stopped', stopped), start(stopped)],
  '341': hundredAndOne.tasks.map((id) => create('one of many', id)),
  '364': [create('archived', archived), start(archived)],
  '366': [
    create('parent', parent),
    start(parent),
    create('step 0', unnamed(0), { parent }),
    start(unnamed(0)),
    create('step 1', unnamed(1), { parent }),
    enqueue(unnamed(1)),
  ],
  '369': [
    create('controller', controller),
    start(controller),
    create('step', unnamed(2), { parent: controller }),
    start(unnamed(2)),
  ],
  '371': [create('edited while queued', edited), enqueue(edited)],
  '374': [create('runtime', running), start(running)],
};

/** Where a recorded request was overtaken by another, which went through. */
const races: Readonly<Record<string, { done: StepDone; meanwhile: Step }>> = {
  '327': { done: 'task loaded', meanwhile: enqueue(raced) },
  '328': { done: 'entry looked for', meanwhile: enqueue(stuck) },
  '339': { done: 'task loaded', meanwhile: { endpoint: 'tasks.dequeue', body: { task: dequeuedTwice } } },
  '340': { done: 'task loaded', meanwhile: { endpoint: 'tasks.completed', body: { task: stopped } } },
};

let sandbox: ClearmlSandbox;
const differences = new Map<string, string[]>();

beforeAll(async () => {
  let clockMs = Date.parse('2026-11-28T02:48:17.001Z');
  const hold = createHold();
  sandbox = await startClearmlSandbox({ now: () => (clockMs += 2), atGap: hold.atGap });
  const authorization = basic(sandbox.accessKey, sandbox.secretKey);
  const ids = new IdMap();
  for (const recording of recordings) {
    const number = recording.name.slice(0, 3);
    await performSteps(sandbox, before[number] ?? [], ids);
    const race = races[number];
    const held = race && hold.next(recording.request.path.replace('/v2.34/', ''), race.done);
    const answering = replayRecording(sandbox, recording, ids, authorization);
    await held?.reached;
    if (race) await performSteps(sandbox, [race.meanwhile], ids);
    held?.release();
    differences.set(recording.name, compareAnswer(recording, await answering, ids, false));
  }
}, 60_000);

afterAll(async () => {
  await sandbox.close();
});

test.each(recordings.map(({ name }) => [name]))('%s is answered as recorded', (name) => {
  expect(differences.get(name)).toEqual([]);
});
