import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import { systemClock } from '../shell/process.ts';
import type { Clock } from '../shell/world.ts';
import { beginLife, type TaskLife } from '../training/task-life.ts';
import { createChangeCommand } from './on-change.ts';

let cwd: string;
let relayed: string[];
let warnings: string[];

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'on-change-'));
  relayed = [];
  warnings = [];
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function create(
  command: string,
  { clock = systemClock as Clock, signal = new AbortController().signal } = {},
) {
  const env = {
    PATH: process.env.PATH ?? '',
    GITHUB_OUTPUT: '/outputs',
    GITHUB_STEP_SUMMARY: '/summary',
    OTHER: 'kept',
  };
  return createChangeCommand(command, ['a', 'b'], {
    session: { env, cwd, clock, interruption: signal },
    out: { relay: (text) => relayed.push(text), warn: (text) => warnings.push(text) },
  });
}

const life = (changes: Partial<TaskLife>): TaskLife => ({ ...beginLife('a', 0), ...changes });
const waiting = life({ phase: 'queued' });
const running = life({ phase: 'running' });

/** Lets the command end that waits for it. */
const release = (name: string) => writeFileSync(join(cwd, name), '');
const waitFor = (name: string) => `until [ -e ${name} ]; do sleep 0.01; done`;

test('the shell runs it with the ids, without the step’s outputs and summary, and all it prints is passed on', async () => {
  const change = create('echo "$TASK_IDS|$GITHUB_OUTPUT|$GITHUB_STEP_SUMMARY|$OTHER"; echo more >&2');
  change.look([waiting]);
  await change.finish();
  expect(relayed.join('').split('\n').sort()).toEqual(['', 'a b|||kept', 'more']);
  expect(warnings).toEqual([]);
});

test('it runs at each change of a phase, not at each look, and not for the end of all', async () => {
  const change = create('echo x >> runs; touch "ran-$(wc -l < runs | tr -d " ")"');
  const until = async (name: string) => {
    while (!existsSync(join(cwd, name))) await sleep(10);
  };
  change.look([waiting, waiting]);
  await until('ran-1');
  change.look([waiting, waiting]);
  change.look([running, waiting]);
  await until('ran-2');
  change.look([{ ...running, retries: 1 }, waiting]);
  await until('ran-3');
  change.look([life({ end: 'failed' }), running]);
  await until('ran-4');
  change.look([life({ end: 'failed' }), life({ end: 'succeeded' })]);
  await change.finish();
  expect(existsSync(join(cwd, 'ran-5'))).toBe(false);
});

test('a step of a pipeline that ends is a change', async () => {
  const change = create('echo x >> runs; cat runs');
  const withSteps = (status: string) =>
    life({
      phase: 'running',
      task: { steps: [{ name: 's', status, taskId: undefined }] } as unknown as TaskLife['task'],
    });
  for (const status of ['', 'running', 'completed']) {
    change.look([withSteps(status)]);
    while (relayed.length < (status === 'completed' ? 2 : 1)) await sleep(10);
  }
  await change.finish();
  expect(relayed).toEqual(['x\n', 'x\nx\n']);
});

test('changes while it runs are told by one more run', async () => {
  const change = create(`echo run; ${waitFor('go')}`);
  change.look([waiting]);
  change.look([running]);
  change.look([waiting]);
  release('go');
  while (relayed.length < 2) await sleep(10);
  await change.finish();
  expect(relayed).toEqual(['run\n', 'run\n']);
});

test('one that is due when the wait is over is left out', async () => {
  const change = create(`echo run; ${waitFor('go')}`);
  change.look([waiting]);
  change.look([running]);
  const finished = change.finish();
  release('go');
  await finished;
  expect(relayed).toEqual(['run\n']);
});

test.each([
  ['exit 3', 'the command of --on-change exited with code 3'],
  ['no-such-program', 'the command of --on-change exited with code 127'],
  ['kill -TERM $$', 'the command of --on-change was ended by SIGTERM'],
])('its failure is a warning: %s', async (command, warning) => {
  const change = create(command);
  change.look([waiting]);
  await change.finish();
  expect(warnings).toEqual([warning]);
});

test('it is ended after a minute, with all that it has started', async () => {
  const change = create('echo begun; sleep 1000 & sleep 1000', { clock: createSimulatedClock() });
  change.look([waiting]);
  await change.finish();
  expect(warnings).toEqual(['the command of --on-change took longer than a minute and was ended']);
});

test('a signal ends it without a word', async () => {
  const interruption = new AbortController();
  const change = create(`echo begun > begun; sleep 1000`, { signal: interruption.signal });
  change.look([waiting]);
  while (!existsSync(join(cwd, 'begun'))) await sleep(10);
  interruption.abort(new Error('interrupted'));
  await change.finish();
  expect(warnings).toEqual([]);
});
