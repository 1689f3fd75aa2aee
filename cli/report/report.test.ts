import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import { writeLine } from '../text/markdown.ts';
import type { Metric } from '../training/metrics.ts';
import type { Report } from './report.ts';
import type { ReportedTask } from './reported-task.ts';
import { composeHeading } from './words/heading.ts';
import { composeNotices } from './words/notices.ts';

const tell = (report: Report) => composeNotices(report).map(writeLine).join('\n');

describe('a completed training without any metric', () => {
  const train = (packages: readonly string[], fields: Partial<ReportedTask> = {}) => {
    const task = makeReportedTask({ monitors: [makeMetric(':monitor:machine', 'cpu_usage')], ...fields });
    return makeReport([{ ...task, script: { ...task.script, packages } }]);
  };

  test.each<readonly [packages: readonly string[], words: string]>([
    [['transformers==5.24.0', 'torch'], "give `TrainingArguments(report_to=['clearml'])`"],
    [['lightning==2.6.6'], "give `Trainer(logger=TensorBoardLogger('out'))`"],
    [['keras==3.15.1'], "callbacks=[keras.callbacks.TensorBoard('out')])`, with tensorflow installed"],
    [['torch'], '`Logger.current_logger().report_scalar(title, series, value, iteration)`'],
  ])('is told so, with the line for %j', (packages, words) => {
    const report = train(packages);
    expect(tell(report)).toContain('**No metric arrived in ClearML,** so there is nothing to compare.');
    expect(tell(report)).toContain(words);
    expect(writeLine(composeHeading(report))).toBe('`train` completed without any metric');
  });

  test('is another than one that runs or failed, or has a metric', () => {
    for (const fields of [
      { status: 'in_progress' },
      { status: 'failed' },
      { metrics: [makeMetric('a', 'b')] },
    ] as const) {
      const report = train(['transformers'], fields);
      expect(report.noMetrics).toBeNull();
      expect(tell(report)).not.toContain('No metric arrived');
    }
  });
});

describe('reports that replaced others of the same iteration', () => {
  const train = (
    counts: Readonly<Record<string, number>>,
    x: readonly number[],
    entryPoint = 'train.py',
    runtime: ReportedTask['runtime'] = {},
  ) => {
    const task = makeReportedTask({
      runtime,
      metrics: Object.entries(counts).map(([title, count]): Metric => makeMetric(title, 'x', { count })),
    });
    const curve = { x, y: x.map((at) => 1 / (at + 1)) };
    const curves = new Map([[task.id, new Map(task.metrics.map(({ name }) => [name, curve]))]]);
    return makeReport([{ ...task, script: { ...task.script, entryPoint } }], [], { curves });
  };

  test('are those of several processes where the entry point starts them', () => {
    const entryPoint = '-m torch.distributed.run --nproc-per-node 2 train.py';
    const report = train({ loss: 10, accuracy: 10, other: 5 }, [0, 1, 2, 3, 4], entryPoint);
    expect(report.overwritten).toEqual({ metrics: ['accuracy/x', 'loss/x'], reports: 2, isLaunched: true });
    expect(tell(report)).toContain(
      '**Several processes seem to report to this task, and the last writer won:** `accuracy/x`, `loss/x` have 2 reports for each iteration',
    );
  });

  test('may be those of several processes otherwise', () => {
    const report = train({ loss: 30 }, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    expect(report.overwritten).toMatchObject({ reports: 3, isLaunched: false });
    expect(tell(report)).toContain('If several processes call Task.init (torchrun)');
  });

  const every = (step: number, length: number) => Array.from({ length }, (_, at) => at * step);
  test.each<readonly [what: string, report: Report]>([
    ['one report for each iteration', train({ loss: 5 }, every(1, 5))],
    ['no iterations at all: each point at 0', train({ loss: 10 }, [0])],
    ['a count that is no multiple', train({ loss: 9 }, every(1, 5))],
    ['points that the server averaged', train({ loss: 4000 }, every(2, 2000))],
    ['an attempt that was repeated', train({ loss: 10 }, every(1, 5), 'train.py', { ci_retries: '1' })],
  ])('are not those of %s', (_, report) => {
    expect(report.overwritten).toBeNull();
  });

  test('are told of a long curve where no iteration was averaged', () => {
    expect(train({ loss: 4000 }, every(1, 2000)).overwritten).toMatchObject({ reports: 2 });
  });
});
