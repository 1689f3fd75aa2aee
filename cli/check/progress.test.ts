import { expect, test } from '@jest/globals';
import {
  beginLife,
  observeQueue,
  observeTask,
  type QueueState,
  type TaskLife,
  type WatchedTask,
} from '../training/task-life.ts';
import { describeProgress, describeValues, describeWait } from './progress.ts';

const START_MS = 1_000_000;

function live(id: string, fields: Partial<WatchedTask>): TaskLife {
  const life = beginLife(id, START_MS);
  observeTask(
    life,
    {
      id,
      name: 'train',
      status: 'in_progress',
      statusReason: '',
      statusMessage: '',
      startedAtMs: undefined,
      endedAtMs: undefined,
      statusChangedAtMs: undefined,
      lastUpdate: '',
      iteration: 0,
      worker: undefined,
      machine: undefined,
      projectId: 'p',
      queueId: 'q',
      workingDir: '.',
      origin: { runtime: {}, tags: [], user: undefined },
      ...fields,
    },
    START_MS,
  );
  return life;
}

function describeLives(
  lives: readonly TaskLife[],
  queue: Partial<QueueState> = {},
  values: Record<string, string> = {},
): string | undefined {
  const queues = new Map([['q', { id: 'q', name: 'gpu', entries: [], workers: [], ...queue }]]);
  const sources = { lives, queues, values: new Map(Object.entries(values)) };
  return describeProgress(sources, START_MS + 83_000)?.text;
}

const busy = (name: string) => ({ name, taskId: 'other' });
const idle = (name: string) => ({ name, taskId: undefined });

test.each<[string, TaskLife, Partial<QueueState>, string]>([
  ['a draft', live('a', { status: 'created' }), {}, 'a draft in no queue for 1m 23s'],
  [
    'the next one of a queue that nobody serves',
    live('a', { status: 'queued' }),
    { entries: ['a', 'b'] },
    'queued for 1m 23s in "gpu", number 1, which no worker serves',
  ],
  [
    'one that waits for Kubernetes',
    live('a', { status: 'queued', statusReason: 'k8s pending scheduler' }),
    {},
    'queued for 1m 23s, waiting for a Kubernetes pod',
  ],
  [
    'one that Kubernetes has no node for, as one line',
    live('a', { status: 'queued', statusMessage: 'K8S glue status: Unschedulable (0/3\n::error::nodes)' }),
    {},
    'queued for 1m 23s, waiting for a Kubernetes pod: Unschedulable (0/3 ::error::nodes)',
  ],
  [
    'one that waits behind others for a busy worker',
    live('a', { status: 'queued' }),
    { entries: ['x', 'y', 'a'], workers: [busy('w:0')] },
    'queued for 1m 23s in "gpu", number 3 (2 tasks ahead), 1 worker, busy',
  ],
  [
    'one that waits for several busy workers',
    live('a', { status: 'queued' }),
    { entries: ['x', 'a'], workers: [busy('w:0'), busy('w:1')] },
    'queued for 1m 23s in "gpu", number 2 (1 task ahead), 2 workers, all busy',
  ],
  [
    'one that waits though workers are idle',
    live('a', { status: 'queued' }),
    { entries: ['a'], workers: [busy('w:0'), idle('w:1')] },
    'queued for 1m 23s in "gpu", number 1, 2 workers, 1 busy',
  ],
  [
    'a running one',
    live('a', { worker: 'gpu-box:gpu:0', machine: 'gpu-box', iteration: 12 }),
    {},
    'running for 1m 23s on gpu-box:gpu:0, iteration 12',
  ],
  [
    'a running one whose worker is not called like its machine',
    live('a', { worker: 'rec-worker:cpu:1', machine: 'vm' }),
    {},
    'running for 1m 23s on rec-worker:cpu:1 (machine vm)',
  ],
])('%s', (_name, life, queue, text) => {
  expect(describeLives([life], queue)).toBe(text);
});

test('the values of the metrics that the settings name are shown', () => {
  expect(describeLives([live('a', {})], {}, { a: 'test_accuracy/accuracy 0.93' })).toBe(
    'running for 1m 23s, test_accuracy/accuracy 0.93',
  );
});

test('several tasks are counted and listed, many only counted', () => {
  const ended = live('c'.repeat(32), { status: 'completed' });
  const few = [live('a'.repeat(32), { iteration: 3 }), live('b'.repeat(32), { status: 'queued' }), ended];
  expect(describeLives(few, { entries: ['b'.repeat(32)], workers: [busy('w')] })).toBe(
    '1 running, 1 queued, 1 ended: aaaaaaaa running for 1m 23s, iteration 3; bbbbbbbb queued for 1m 23s in "gpu", number 1, 1 worker, busy',
  );
  const many = Array.from({ length: 9 }, (_, index) => live(String(index).repeat(32), {}));
  expect(describeLives(many)).toBe('9 running');
});

test('nothing is told where nothing is waited for', () => {
  expect(describeLives([live('a', { status: 'completed' })])).toBeUndefined();
});

test('what others wrote cannot break the line', () => {
  expect(describeLives([live('a', { status: 'queued' })], { name: 'a\n::error::b\u001b[31m' })).toBe(
    'queued for 1m 23s in "a ::error::b", which no worker serves',
  );
});

test('of the metrics those that the patterns name are shown, in their order and not too many', () => {
  const metrics = [
    { name: 'loss/train', value: 0.123456789 },
    { name: 'loss/validation', value: 0.5 },
    { name: 'test_accuracy/accuracy', value: 0.93 },
    { name: ':monitor:gpu/0', value: 12 },
  ];
  expect(describeValues(metrics, ['test_accuracy/*', 'loss/*'])).toBe(
    'test_accuracy/accuracy 0.93, loss/train 0.12346, loss/validation 0.5',
  );
  expect(describeValues([...metrics, { name: 'loss/z', value: 1 }], ['loss/*', 'loss/train'])).toBe(
    'loss/train 0.12346, loss/validation 0.5, loss/z 1',
  );
  expect(describeValues(metrics, ['nothing'])).toBeUndefined();
});

const MINUTE = 60_000;
const limits = { timeoutMs: 60 * MINUTE, queueTimeoutMs: 30 * MINUTE };

/** What is said 5 minutes after the first look. */
function describeStill(lives: readonly TaskLife[], queue: Partial<QueueState> = {}): string | undefined {
  const state = { id: 'q', name: 'gpu', entries: [], workers: [], ...queue };
  for (const life of lives) if (life.phase === 'queued') observeQueue(life, state, START_MS);
  const sources = { lives, queues: new Map([['q', state]]), values: new Map() };
  return describeWait(sources, limits, START_MS + 5 * MINUTE);
}

test('a wait without progress names its time-out only where its clock runs', () => {
  const waiting = () => [live('a', { status: 'queued' })];
  expect(describeStill(waiting(), { entries: ['x', 'a'], workers: [idle('w:0')] })).toBe(
    'Still queued in "gpu", number 2 (1 task ahead), 1 worker, idle; gives up in 25m',
  );
  expect(describeStill(waiting(), { entries: ['x', 'a'], workers: [busy('w:0')] })).toBe(
    'Still queued in "gpu", number 2 (1 task ahead), 1 worker, busy; no time-out while every worker is busy',
  );
  expect(describeStill([live('a', { iteration: 7 })])).toBe('Still running, iteration 7; times out in 55m');
  expect(describeStill([live('a', { status: 'completed' })])).toBeUndefined();
});

test('a wait for many tasks counts them, and names the first time-out', () => {
  const many = (status: 'in_progress' | 'queued') =>
    Array.from({ length: 5 }, (_, index) => live(String(index).repeat(32), { status }));
  expect(describeStill(many('in_progress'))).toBe('Still waiting: 5 running; the first times out in 55m');
  expect(describeStill(many('queued'), { workers: [busy('w')] })).toBe('Still waiting: 5 queued');
});
