import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReport, makeReportedTask } from '../../dev/made-up-report.ts';
import { writeLine } from '../../text/markdown.ts';
import type { Metric } from '../../training/metrics.ts';
import type { FoundBaseline } from '../baseline/baseline.ts';
import type { Report } from '../report.ts';
import type { ReportedTask } from '../reported-task.ts';
import { listLeadingRows, writeMetrics } from '../tables.ts';
import { composeLegend } from '../words/cells.ts';
import { composeHeading } from '../words/heading.ts';
import { listRows, partMetrics } from './families.ts';

type Numbers = Readonly<Record<string, number>>;

const toMetric = (name: string, last: number): Metric => {
  const [title = '', ...series] = name.split('/');
  const bounds = { min: Math.min(last, 0.01), max: Math.max(last, 1) };
  return makeMetric(title, series.join('/'), { last, ...bounds });
};

const makeRun = (numbers: Numbers, id = 1, fields: Partial<ReportedTask> = {}): ReportedTask =>
  makeReportedTask({
    id: String(id).padStart(32, '0'),
    metrics: Object.entries(numbers).map(([name, last]) => toMetric(name, last)),
    ...fields,
  });

/** A baseline with a history, each commit with its runs; the nearest first. */
function makeBaseline(...commits: ReadonlyArray<readonly Numbers[]>): FoundBaseline {
  const history = commits.map((runs, at) => ({
    commit: `${at}`,
    tree: 't',
    commitsBehind: at,
    tasks: runs.map((numbers, run) => makeRun(numbers, 100 + 10 * at + run)),
  }));
  return {
    kind: 'found',
    by: 'branch',
    tasks: history[0]?.tasks ?? [],
    name: 'main',
    commit: '4'.repeat(40),
    commitsBehind: 0,
    passedOver: 0,
    isSameTraining: false,
    history,
  };
}

const compare = (own: Numbers, ...commits: ReadonlyArray<readonly Numbers[]>): Report =>
  makeReport([makeRun(own)], [], { baseline: makeBaseline(...commits) });
const headingOf = (report: Report) => writeLine(composeHeading(report));
const namesOf = (report: Report) => report.metrics.map(({ metric }) => metric);
const leadOf = (report: Report) => partMetrics(report).leading.map(([first]) => first?.metric);
const find = (report: Report, name: string) => report.metrics.find(({ metric }) => metric === name);

const recalls = (value: number, others: Numbers = {}): Numbers => ({
  ...Object.fromEntries(
    Array.from({ length: 60 }, (_, at) => [`recall/class_${String(at).padStart(2, '0')}`, value]),
  ),
  ...others,
});

describe('one collapsed class of sixty', () => {
  const report = compare(recalls(0.9, { 'recall/class_17': 0.1, 'recall/class_03': 0.95 }), [recalls(0.9)]);

  test('is named in the first line, with how many others moved', () => {
    expect(headingOf(report)).toBe(
      '`train`: 1 of 60 metrics worse, 1 better (noise unknown): `recall/class_17` 0.9 → **0.1**, -0.8 (worse) against `main`',
    );
    expect(report.tally).toMatchObject({
      metrics: 60,
      worse: 1,
      better: 1,
      same: 58,
      worst: 'recall/class_17',
    });
  });

  test('is the row of its family, with minimum and mean; the members are folded', () => {
    const { leading, others } = partMetrics(report);
    expect(leading).toHaveLength(1);
    expect(others).toHaveLength(60);
    expect(others[0]?.metric).toBe('recall/class_17');
    expect(report.families).toMatchObject([
      {
        family: 'recall',
        worst: 'recall/class_17',
        extreme: 'min',
        value: { extreme: 0.1 },
        baseline: { extreme: 0.9 },
      },
    ]);
    const table = writeMetrics(listLeadingRows(report, { leading: 20, gateRows: 20 }), report);
    expect(table).toMatch(
      /\*\*`recall`\*\* \(60 series\): worst `class_17`, minimum 0\.9.→.0\.1, mean 0\.9.→.0\.8875 \|.*\*\*0\.1\*\*.*0\.9.*worse/,
    );
    expect(table.split('\n')).toHaveLength(3);
    expect(report.curves.map(({ metric }) => metric)).toEqual(['recall/class_17']);
  });
});

describe('what moved leads', () => {
  test('by its change against the noise, not by its size', () => {
    const runs = [0.5, 0.7, 0.3, 0.6].map((noisy, at) => ({
      'a/accuracy': noisy,
      'b/accuracy': 0.9 + at / 1000,
    }));
    const report = compare({ 'a/accuracy': 0.2, 'b/accuracy': 0.8 }, runs);
    expect(leadOf(report)).toEqual(['b/accuracy', 'a/accuracy']);
    expect(headingOf(report)).toMatch(/^`train`: 1 of 2 metrics worse: `b\/accuracy` 0\.9015 → \*\*0\.8\*\*/);
    expect(find(report, 'a/accuracy')?.effect).toBe('noise');
  });

  test('by its relative change where nobody knows the noise', () => {
    const report = compare({ 'a/accuracy': 0.89, 'b/loss': 0.3, 'c/accuracy': 0.9 }, [
      { 'a/accuracy': 0.9, 'b/loss': 0.2, 'c/accuracy': 0.9 },
    ]);
    expect(leadOf(report)).toEqual(['b/loss', 'a/accuracy', 'c/accuracy']);
    expect(headingOf(report)).toContain('2 of 3 metrics worse (noise unknown): `b/loss` 0.2 → **0.3**');
  });

  test('and nothing that moved by less than 0.1% where nobody knows the noise, nor set the goal', () => {
    const report = compare({ 'val/dfl_loss': 4.15961, 'val/accuracy': 0.5, 'val/box_loss': 6.9 }, [
      { 'val/dfl_loss': 4.15957, 'val/accuracy': 0.5, 'val/box_loss': 6.899 },
    ]);
    expect(report.metrics.map(({ effect }) => effect).sort()).toEqual([null, null, 'same']);
    expect(headingOf(report)).toContain(
      '3 metrics neither better nor worse, as far as known: `val/accuracy`',
    );
    expect(writeLine(composeLegend(report))).toMatch(/^A change of less than 0\.1% is called neither/);
    // Where the noise is known, a smaller change may be one.
    const known = compare(
      { 'val/accuracy': 0.8997 },
      [0, 1, 0, 1].map((at) => ({ 'val/accuracy': 0.9 + at / 1e6 })),
    );
    expect(find(known, 'val/accuracy')?.effect).toBe('worse');
  });

  test('the worst before what got better more', () => {
    const report = compare({ 'a/accuracy': 0.9, 'b/accuracy': 0.8 }, [
      { 'a/accuracy': 0.2, 'b/accuracy': 0.9 },
    ]);
    expect(leadOf(report)).toEqual(['b/accuracy', 'a/accuracy']);
    expect(headingOf(report)).toContain('1 of 2 metrics worse, 1 better');
  });

  test('held-out data before training data, also where only the others are called so', () => {
    const report = compare({ 'train/loss': 1, 'val/loss': 0.31, 'both/both': 0.9, 'both/val: both': 0.11 }, [
      { 'train/loss': 0.1, 'val/loss': 0.3, 'both/both': 0.1, 'both/val: both': 0.1 },
    ]);
    expect(leadOf(report)).toEqual(['val/loss', 'both/val: both', 'train/loss', 'both/both']);
  });

  test('a known direction before an unknown one, and ties by name', () => {
    const report = compare({ 'x/y': 9, 'b/accuracy': 0.8, 'a/accuracy': 0.8 }, [
      { 'x/y': 1, 'b/accuracy': 0.9, 'a/accuracy': 0.9 },
    ]);
    expect(namesOf(report)).toEqual(['a/accuracy', 'b/accuracy', 'x/y']);
  });

  test('bookkeeping comes last, has no effect and no count, however far it moved', () => {
    const report = compare({ 'a/accuracy': 0.9, 'train/epoch': 99, 'eval/runtime': 1000 }, [
      { 'a/accuracy': 0.9, 'train/epoch': 1, 'eval/runtime': 1 },
    ]);
    expect(leadOf(report)).toEqual(['a/accuracy']);
    expect(partMetrics(report).training.map(({ metric, effect }) => [metric, effect])).toEqual([
      ['eval/runtime', null],
      ['train/epoch', null],
    ]);
    expect(headingOf(report)).toBe('`train`: `a/accuracy` **0.9**, unchanged against `main`');
    expect(report.curves.map(({ metric }) => metric)).toEqual(['a/accuracy']);
  });

  test('bookkeeping alone is no result', () => {
    const report = compare({ 'train/epoch': 99 }, [{ 'train/epoch': 1 }]);
    expect(headingOf(report)).toBe('`train` completed without a metric of its result');
  });
});

test('that nothing moved is said', () => {
  const same = { 'a/accuracy': 0.9, 'b/accuracy': 0.9 };
  expect(headingOf(compare(same, [same]))).toBe(
    '`train`: 2 metrics unchanged: `a/accuracy` **0.9**, unchanged against `main`',
  );
  const noisy = [0.88, 0.9, 0.92].map((last) => ({ 'a/accuracy': last, 'b/accuracy': last }));
  expect(headingOf(compare(same, noisy))).toContain('2 metrics unchanged');
  expect(headingOf(compare({ 'a/accuracy': 0.91, 'b/accuracy': 0.9 }, noisy))).toContain(
    '2 metrics within noise',
  );
  const unknown = { 'x/y': 1, 'z/y': 2 };
  expect(headingOf(compare({ 'x/y': 3, 'z/y': 4 }, [unknown]))).toContain(
    'neither better nor worse, as far as known',
  );
});

describe('a training that has not completed', () => {
  test.each(['in_progress', 'failed', 'stopped', 'queued'] as const)(
    'keeps the order by name: %s',
    (status) => {
      const own = makeRun({ 'a/accuracy': 0.1, 'test/accuracy': 0.9 }, 1, { status });
      const baseline = makeBaseline([{ 'a/accuracy': 0.9, 'test/accuracy': 0.9, 'test/f1': 1 }]);
      const report = makeReport([own], [], { baseline });
      expect(namesOf(report)).toEqual(['test/accuracy', 'a/accuracy']);
      expect(report.metrics.map(({ presence }) => presence)).toEqual([null, null]);
      expect(report.tally).toBeNull();
    },
  );
});

describe('a metric of one side only', () => {
  test('is no longer reported, or new, and says so in table and JSON', () => {
    const report = compare({ 'test/accuracy': 0.9, 'test/new_f1': 0.8 }, [
      { 'test/accuracy': 0.9, 'test/auc': 0.7, 'lr/lr': 0.1 },
    ]);
    expect(find(report, 'test/auc')).toMatchObject({
      value: null,
      baseline: 0.7,
      presence: 'gone',
      change: null,
    });
    expect(find(report, 'test/new_f1')).toMatchObject({ value: 0.8, baseline: null, presence: 'new' });
    expect(find(report, 'test/accuracy')).toMatchObject({ presence: 'both' });
    expect(headingOf(report)).toMatch(/^`train`: 1 metric unchanged, 1 no longer reported, 1 new: /);
    const table = writeMetrics(listRows(report.metrics, []), report);
    expect(table).toMatch(/`test\/auc` \| no longer reported \| 0\.7/);
    expect(table).toMatch(/`test\/new_f1` \| \*\*0\.8\*\* \| – \| new/);
    // Bookkeeping that is gone is folded.
    expect(partMetrics(report).training.map(({ metric }) => metric)).toEqual(['lr/lr']);
  });

  test('is named where nothing else happened', () => {
    const report = compare({ 'b/accuracy': 0.9 }, [{ 'b/accuracy': 0.9, 'test/auc': 0.7 }]);
    expect(headingOf(report)).toBe(
      '`train`: 1 metric unchanged, 1 no longer reported: `test/auc` is no longer reported',
    );
  });

  test('is no news where not every run of the base has it, or its history had gaps', () => {
    const all = { 'test/accuracy': 0.9, 'test/auc': 0.7 };
    const less = { 'test/accuracy': 0.9 };
    expect(find(compare(less, [all, less]), 'test/auc')).toBeUndefined();
    expect(find(compare(less, [all], [less], [all]), 'test/auc')).toBeUndefined();
    expect(find(compare(less, [all], [all], [less]), 'test/auc')).toMatchObject({ presence: 'gone' });
    expect(find(compare(all, [less], [all]), 'test/auc')).toMatchObject({ presence: null });
  });
});

describe('many series', () => {
  const make = (names: readonly string[], value = 0.5): Numbers =>
    Object.fromEntries(names.map((name) => [name, value]));
  const familiesOf = (names: readonly string[]) =>
    compare(make(names), [make(names)]).families.map(({ family }) => family);
  const numbered = (of: (at: number) => string, count = 5) =>
    Array.from({ length: count }, (_, at) => of(at));

  test.each<readonly [what: string, names: readonly string[], families: readonly string[]]>([
    ['numbered classes', numbered((at) => `val/class_${at}`), ['val']],
    ['tags without a slash', numbered((at) => `f1_class_${at}/f1_class_${at}`), ['f1_class_*/f1_class_*']],
    ['folds as titles', numbered((at) => `fold_${at}/accuracy`), ['fold_*/accuracy']],
    ['labels of one measure', ['cat', 'dog', 'car', 'bus', 'sky'].map((label) => `iou/${label}`), ['iou']],
    ['two kinds of one title', numbered((at) => `val/f1_${at}`).concat('val/loss'), ['val/f1_*']],
    ['of an unknown measure', numbered((at) => `x/class_${at}`), ['x']],
    ['of an unknown measure, without a title', numbered((at) => `x${at}/x${at}`), []],
    ['four', numbered((at) => `recall/class_${at}`, 4), []],
    ['the parts of a loss', ['box', 'cls', 'dfl', 'obj', 'seg'].map((part) => `loss/${part}`), []],
    ['losses of one title', ['box', 'cls', 'dfl', 'obj', 'seg'].map((part) => `val/${part}_loss`), []],
    ['different measures', ['map', 'recall', 'precision', 'f1', 'auc'].map((name) => `metrics/${name}`), []],
  ])('%s', (_, names, families) => {
    expect(familiesOf(names)).toEqual(families);
  });

  test('that are better the smaller tell their maximum', () => {
    const base = make(numbered((at) => `wer/set_${at}`));
    const report = compare({ ...base, 'wer/set_2': 0.9, 'wer/set_4': 0.1 }, [base]);
    expect(report.families).toMatchObject([
      { worst: 'wer/set_2', extreme: 'max', value: { extreme: 0.9, mean: 0.5 }, baseline: { extreme: 0.5 } },
    ]);
  });

  test('that are gone are one row too, apart from those that stayed', () => {
    const stayed = make(numbered((at) => `recall/class_${at}`));
    const report = compare(stayed, [{ ...stayed, ...make(numbered((at) => `auc/class_${at}`)) }]);
    expect(report.families.map(({ family }) => family).sort()).toEqual(['auc', 'recall']);
    expect(headingOf(report)).toContain('5 metrics unchanged, 5 no longer reported');
  });
});

describe('one number by two names', () => {
  const copiesOf = (own: readonly Metric[], base: readonly Metric[] = own) =>
    makeReport(
      [makeReportedTask({ metrics: [...own] })],
      [makeReportedTask({ id: '6'.repeat(32), metrics: [...base] })],
    )
      .metrics.filter(({ copyOf }) => copyOf !== null)
      .map(({ metric, copyOf }) => [metric, copyOf]);
  const single = (series: string, last: number) =>
    makeMetric('Summary', series, { last, min: last, max: last, first: last, count: 1, isSingle: true });

  test('is shown once: the one with a curve', () => {
    const curve = makeMetric('metrics', 'recall(B)', { last: 0.7 });
    expect(copiesOf([curve, single('metrics/recall(B)', 0.7)])).toEqual([
      ['Summary/metrics/recall(B)', 'metrics/recall(B)'],
    ]);
    expect(copiesOf([makeMetric('acc', 'acc'), makeMetric('acc_epoch', 'acc_epoch')])).toEqual([
      ['acc_epoch/acc_epoch', 'acc/acc'],
    ]);
  });

  test('is two where the numbers differ on one side, or in their course', () => {
    const curve = makeMetric('metrics', 'recall(B)', { last: 0.7 });
    const own = [curve, single('metrics/recall(B)', 0.7)];
    expect(copiesOf(own, [curve, single('metrics/recall(B)', 0.8)])).toEqual([]);
    expect(copiesOf([makeMetric('acc', 'acc'), makeMetric('acc_epoch', 'acc_epoch', { min: 0.1 })])).toEqual(
      [],
    );
  });

  test('is two where the names are about something else: two perfect accuracies', () => {
    const perfect = { last: 1, min: 1, max: 1, first: 1 };
    const names = [
      ['test', 'accuracy'],
      ['val', 'accuracy'],
      ['test', 'mean_accuracy'],
      ['test', 'f1'],
    ] as const;
    expect(copiesOf(names.map(([title, series]) => makeMetric(title, series, perfect)))).toEqual([]);
  });
});

test('a series that one side alone has is in no family of those that both have', () => {
  const both = recalls(0.9);
  const report = compare({ ...both, 'recall/new': 0.01 }, [{ ...both, 'recall/old': 0.9 }]);
  expect(report.families).toMatchObject([{ metrics: Object.keys(both) }]);
  expect(leadOf(report)).toEqual(expect.arrayContaining(['recall/new', 'recall/old']));
});

test('what only may be no number is not counted as none', () => {
  const report = compare({ 'test/loss': 0, 'test/accuracy': 0.9 }, [
    { 'test/loss': 0.4, 'test/accuracy': 0.9 },
  ]);
  expect(report.tally).toMatchObject({ notNumbers: 1, isDoubtCertain: false });
  expect(headingOf(report)).toContain(
    '1 of 2 metrics doubtful: `test/loss` was possibly not a number (reported as 0)',
  );
});
