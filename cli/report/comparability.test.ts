import { describe, expect, test } from '@jest/globals';
import { makeReportedTask } from '../dev/made-up-report.ts';
import { compareEnvironments, compareParams } from './comparability.ts';
import type { ReportedTask } from './reported-task.ts';

function withScript(script: Partial<ReportedTask['script']>): ReportedTask {
  const task = makeReportedTask();
  return { ...task, script: { ...task.script, ...script } };
}

describe('params', () => {
  const base = makeReportedTask({ params: { 'Args/lr': '0.1', 'Args/seed': '1', 'General/depth': '3' } });

  test('that differ are listed by name, the seed is not one of them', () => {
    const task = makeReportedTask({ params: { 'Args/lr': '0.2', 'Args/seed': '2', 'Args/new': 'x' } });
    expect(compareParams(task, base, 'Args/seed')).toEqual([
      { param: 'Args/lr', value: '0.2', baseline: '0.1' },
      { param: 'Args/new', value: 'x', baseline: null },
      { param: 'General/depth', value: null, baseline: '3' },
    ]);
  });

  test('that the training has not told yet are not missed', () => {
    const task = makeReportedTask({ status: 'queued', iteration: 0, params: { 'Args/lr': '0.2' } });
    expect(compareParams(task, base, 'Args/seed')).toEqual([
      { param: 'Args/lr', value: '0.2', baseline: '0.1' },
    ]);
  });

  test('that a failed training no longer takes are gone, once it has parsed its command line', () => {
    const fields = { status: 'failed', iteration: 0, params: { 'Args/penalty': '0.01' } } as const;
    const added = { param: 'Args/penalty', value: '0.01', baseline: null };
    expect(compareParams(makeReportedTask(fields), base, 'Args/seed')).toEqual([added]);
    const parsed = makeReportedTask({ ...fields, hasToldArguments: true });
    // What it would have connected later, under another name, may still have been to come.
    expect(compareParams(parsed, base, 'Args/seed')).toEqual([
      { param: 'Args/lr', value: null, baseline: '0.1' },
      added,
    ]);
  });
});

describe('conditions', () => {
  test('that are the same are not named', () => {
    expect(compareEnvironments(makeReportedTask(), makeReportedTask())).toEqual([]);
  });

  test.each<[string, ReportedTask, ReportedTask, object]>([
    [
      'the image',
      makeReportedTask({ image: 'python:3.12' }),
      makeReportedTask(),
      { aspect: 'image', value: 'python:3.12', baseline: 'none' },
    ],
    [
      'the number of iterations',
      makeReportedTask({ iteration: 20 }),
      makeReportedTask(),
      { aspect: 'iterations', value: '20', baseline: '10' },
    ],
    [
      'the GPU',
      makeReportedTask({ runtime: { gpu_count: '2', gpu_type: 'A10, A10' } }),
      makeReportedTask({ runtime: { gpu_count: '0' } }),
      { aspect: 'GPU', value: '2 × A10', baseline: 'none' },
    ],
    [
      'the machine',
      makeReportedTask({ runtime: { cpu_cores: '2', memory_gb: '8', processor: 'x86_64' } }),
      makeReportedTask({ runtime: { cpu_cores: '4', memory_gb: '8', processor: 'x86_64' } }),
      { aspect: 'machine', value: '2 cores, 8 GB, x86_64', baseline: '4 cores, 8 GB, x86_64' },
    ],
    [
      'Python',
      makeReportedTask({ runtime: { python_version: '3.12.1' } }),
      makeReportedTask({ runtime: { python_version: '3.11.7' } }),
      { aspect: 'Python', value: '3.12', baseline: '3.11' },
    ],
    [
      'packages, however their names are spelled, in whatever order',
      withScript({ packages: ['scikit_learn==1.8', 'numpy==2', 'new==1'] }),
      withScript({ packages: ['numpy==2', 'Scikit-Learn==1.7'] }),
      {
        aspect: 'requirements',
        value: 'new==1, scikit_learn==1.8',
        baseline: 'no new, Scikit-Learn==1.7',
      },
    ],
    [
      'the data set',
      makeReportedTask({ params: { 'Datasets/digits': 'v2' } }),
      makeReportedTask({ params: { 'Datasets/digits': 'v1' } }),
      { aspect: 'data set', value: 'digits=v2', baseline: 'digits=v1' },
    ],
  ])('that differ are named: %s', (_, task, base, difference) => {
    expect(compareEnvironments(task, base)).toEqual([difference]);
  });

  test.each<[string, ReportedTask, ReportedTask]>([
    [
      'a machine that reports a little less memory',
      makeReportedTask({ runtime: { cpu_cores: '2', memory_gb: '23.4' } }),
      makeReportedTask({ runtime: { cpu_cores: '2', memory_gb: '23.5' } }),
    ],
    [
      'another patch release of Python',
      makeReportedTask({ runtime: { python_version: '3.11.7' } }),
      makeReportedTask({ runtime: { python_version: '3.11.9' } }),
    ],
    ['a side that does not tell', makeReportedTask({ runtime: { gpu_count: '1' } }), makeReportedTask()],
  ])('that hardly differ are not named: %s', (_, task, base) => {
    expect(compareEnvironments(task, base)).toEqual([]);
  });
});
