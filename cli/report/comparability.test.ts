import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReportedTask } from '../dev/made-up-report.ts';
import type { Metric } from '../training/metrics.ts';
import { compareEnvironments, compareParams, describeLoad } from './comparability.ts';
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

  test('that did not reach the training are no difference, on either side', () => {
    const held = (name: string, value: string, type = 'str', description = '') => ({
      name,
      value,
      type,
      description,
    });
    const lr = held('Args/lr', '0.1', 'float', 'None');
    const given = (list: string) => ({ runtime: { ci_given: list } });
    const misspelt = makeReportedTask({
      ...given('[["Args/lrr","0.2"]]'),
      params: { 'Args/lrr': '0.2', 'Args/lr': '0.1' },
      held: [held('Args/lrr', '0.2'), lr],
    });
    const sound = makeReportedTask({ ...given('[]'), params: { 'Args/lr': '0.1' }, held: [lr] });
    const overwritten = makeReportedTask({
      ...given('[["Args/lr","0.5"]]'),
      params: { 'Args/lr': '0.3' },
      held: [held('Args/lr', '0.3', 'float')],
    });
    expect(compareParams(misspelt, sound, 'Args/seed')).toEqual([]);
    expect(compareParams(sound, misspelt, 'Args/seed')).toEqual([]);
    expect(compareParams(overwritten, sound, 'Args/seed')).toEqual([]);
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

describe('the load on a machine', () => {
  const fixed = (value: number, count = 11) => ({
    first: value,
    last: value,
    min: value,
    max: value,
    mean: value,
    count,
  });
  const describeGpus = (...gpus: ReadonlyArray<Readonly<Record<string, Partial<Metric>>>>) =>
    describeLoad({
      monitors: gpus.flatMap((gpu, index) =>
        Object.entries(gpu).map(([name, fields]) =>
          makeMetric(':monitor:gpu', `gpu_${index}_${name}`, fields),
        ),
      ),
    });

  test('is the means of the processor and the GPUs, and the largest memory of all GPUs together', () => {
    const gpu = {
      utilization: { min: 20, max: 90, mean: 55 },
      mem_used_gb: { min: 0, max: 3 },
      mem_usage: { min: 1, max: 25 },
      mem_free_gb: { min: 12, max: 15.8 },
    };
    const processor = makeMetric(':monitor:machine', 'cpu_usage', { mean: 40 });
    const memory = makeMetric(':monitor:machine', 'memory_used_gb', { max: 1.5 });
    expect(describeLoad({ monitors: [processor, memory] })).toMatchObject({
      cpuPercent: 40,
      memoryGb: 1.5,
      gpuPercent: null,
      gpuMemoryGb: null,
    });
    expect(describeGpus(gpu, { ...gpu, utilization: { mean: 65 } })).toMatchObject({
      gpuPercent: 60,
      gpuMemoryGb: 8,
    });
  });

  test.each<readonly [what: string, metrics: Readonly<Record<string, Partial<Metric>>>]>([
    ['a memory of 0 GB before the training used any', { mem_used_gb: fixed(0) }],
    ['the same in a single report', { mem_used_gb: fixed(0, 1) }],
    ['a utilization of 100% that the driver did not tell', { utilization: fixed(100) }],
    ['the same in a single report', { utilization: fixed(100, 1) }],
    ['another fixed number that the SDK’s settings name', { utilization: fixed(50) }],
    ['a full memory, whose size is unknown', { mem_usage: { max: 100 }, mem_free_gb: { min: 0 } }],
  ])('holds nothing that the SDK makes up: %s', (_, metrics) => {
    expect(describeGpus(metrics)).toMatchObject({ gpuPercent: null, gpuMemoryGb: null });
  });

  test('is not told of all GPUs if one’s number is made up', () => {
    const real = { utilization: { min: 20, max: 90, mean: 55 }, mem_used_gb: { max: 3 } };
    expect(describeGpus(real, { utilization: fixed(100), mem_used_gb: fixed(0) })).toMatchObject({
      gpuPercent: null,
      gpuMemoryGb: null,
    });
  });

  test('of an idle GPU is 0%', () => {
    expect(describeGpus({ utilization: fixed(0) })).toMatchObject({ gpuPercent: 0 });
  });
});
