import { expect, test } from '@jest/globals';
import { makeReport, makeReportedTask } from '../../dev/made-up-report.ts';
import { writeLine } from '../../text/markdown.ts';
import type { ReportedTask } from '../reported-task.ts';
import { composeLead } from './lead.ts';

const HOUR_MS = 3_600_000;
const startedAtMs = Date.UTC(2026, 0, 1);

/** A training on so many GPUs for so many hours. */
const train = (gpus: string | undefined, hours: number, fields: Partial<ReportedTask> = {}) =>
  makeReportedTask({
    runtime: gpus === undefined ? {} : { gpu_count: gpus, gpu_type: 'NVIDIA A10' },
    startedAtMs,
    endedAtMs: startedAtMs + hours * HOUR_MS,
    ...fields,
  });

const tell = (...tasks: readonly ReportedTask[]) => {
  const report = makeReport(tasks.map((task, index) => ({ ...task, id: String(index).repeat(32) })));
  return / \u00b7 ([^\u00b7]*GPU hour[^\u00b7]*)$/.exec(writeLine(composeLead(report)[0] ?? []))?.[1];
};

test.each<readonly [what: string, tasks: readonly ReportedTask[], words: string | undefined]>([
  ['one', [train('1', 1)], '1 GPU hour'],
  ['one on two GPUs', [train('2', 0.4)], '0.8 GPU hours'],
  ['three', [train('1', 0.7), train('1', 0.8), train('1', 0.9)], '2.4 GPU hours for these 3 trainings'],
  ['a short one', [train('1', 0.001)], 'less than 0.01 GPU hours'],
  ['one that failed', [train('1', 0.5, { status: 'failed' })], '0.5 GPU hours'],
  ['one without a GPU', [train('0', 1)], undefined],
  ['one with and one without', [train('1', 1), train('0', 1)], '1 GPU hour for these 2 trainings'],
  ['an unknown number of GPUs', [train(undefined, 1)], undefined],
  ['an empty number of GPUs', [train('', 1)], undefined],
  ['a number that is none', [train('<b>1</b>', 1)], undefined],
  ['one known and one unknown', [train('1', 1), train(undefined, 1)], undefined],
  ['an unknown end', [train('1', 1, { endedAtMs: undefined })], undefined],
  ['an attempt that was lost', [train('1', 1, { runtime: { gpu_count: '1', ci_retries: '1' } })], undefined],
  ['one that waits', [train('1', 1, { status: 'queued' })], undefined],
])('the GPU hours of %s are told if they are known', (_, tasks, words) => {
  expect(tell(...tasks)).toBe(words);
});

test('those of a training that runs are told as such', () => {
  const report = makeReport([train('1', 0, { status: 'in_progress', endedAtMs: undefined })]);
  const [lead = []] = composeLead(report);
  expect(report.tasks[0]?.gpuHours).toBeGreaterThan(0);
  expect(writeLine(lead)).toMatch(/ GPU hours so far$/);
});
