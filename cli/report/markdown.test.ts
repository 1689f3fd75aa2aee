import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { readFailureConsoles } from '../dev/failure-consoles.ts';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import { writePlain } from '../text/phrase.ts';
import type { QueueState } from '../training/task-life.ts';
import type { Plot } from './drawing/plot.ts';
import { COMMENT_MAX_LENGTH, renderComment, renderSummary, SUMMARY_MAX_BYTES } from './markdown.ts';
import type { Report } from './report.ts';
import { compileTemplate, readTemplates } from './template.ts';
import { composeHeading } from './words/heading.ts';

const { comment, summary } = await readTemplates('.', undefined);

describe('room', () => {
  function makeLargeReport(): Report {
    const metrics = Array.from({ length: 3000 }, (_, index) =>
      makeMetric(`metric ${'m'.repeat(90)} ${index}`, 's'),
    );
    const params = (value: string) =>
      Object.fromEntries(
        Array.from({ length: 500 }, (_, index) => [`Args/param ${index}`, value.repeat(100)]),
      );
    const plots = Array.from(
      { length: 20 },
      (_, index): Plot => ({
        name: `table ${index}`,
        iteration: 1,
        kind: 'table',
        columns: Array(14).fill('c'.repeat(100)),
        rowLabels: [],
        rows: Array(30).fill(Array(14).fill('v'.repeat(100))),
        columnAxis: null,
        rowAxis: null,
      }),
    );
    return makeReport(
      [makeReportedTask({ metrics, params: params('a') })],
      [makeReportedTask({ id: '6'.repeat(32), metrics, params: params('b') })],
      { plots },
    );
  }

  test('a comment fits, leads with what tells most, and says what is left out and where it is', () => {
    const text = renderComment(makeLargeReport(), 'key', comment);
    expect(text.length).toBeLessThanOrEqual(COMMENT_MAX_LENGTH);
    expect(text.length).toBeGreaterThan(COMMENT_MAX_LENGTH / 3);
    expect(text).toContain('Compared with');
    expect(text).toContain('```mermaid');
    expect(text).toMatch(/Left out here: \d+ metrics, (?:\d+ charts, )?\d+ params, 20 tables\./);
    expect(text).toContain('https://github.com/acme/digits/actions/runs/42');
  });

  test('the title of further metrics says how many of them are worse', () => {
    const make = (worse: readonly number[]) =>
      makeReportedTask({
        metrics: Array.from({ length: 9 }, (_, at) =>
          makeMetric(`part ${'abcdefghi'[at]}`, 'accuracy', { last: worse.includes(at) ? 0.3 : 0.9 }),
        ),
      });
    const report = makeReport([make([2])], [{ ...make([]), id: '6'.repeat(32) }]);
    const folded = { ...report, leadingMetrics: 0, families: [] };
    expect(renderComment(folded, 'key', comment)).toContain('<summary>More metrics (9, 1 worse)</summary>');
  });

  test('the job summary holds all metrics, and fits too', () => {
    const text = renderSummary(makeLargeReport(), summary);
    expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(SUMMARY_MAX_BYTES);
    expect(text.match(/^\| `metric m/gm)).toHaveLength(3000);
  });

  test('a template that is too long by itself is the user’s mistake', () => {
    const template = compileTemplate('own.md', 'x'.repeat(70_000));
    expect(() => renderComment(makeReport([makeReportedTask()]), 'key', template)).toThrow('too long');
  });
});

test('a waiting task shows the base’s numbers, no column of its own, and a queue that nobody serves', () => {
  const queued = makeReportedTask({ status: 'queued', queueId: 'q', metrics: [] });
  const baseline = makeReportedTask({ id: '6'.repeat(32), metrics: [makeMetric('test', 'accuracy')] });
  const render = (workers: QueueState['workers']) => {
    const queue = { id: 'q', name: 'gpu', entries: [queued.id], workers };
    const report = makeReport([queued], [baseline], { queues: new Map([['q', queue]]) });
    // One that the settings name is missed.
    const [metric] = makeReport([baseline], [baseline]).metrics;
    if (metric === undefined) throw new Error('no metric');
    const missed = { ...metric, value: null, values: [null], sparkline: '' };
    return renderComment({ ...report, metrics: [missed], leadingMetrics: 1 }, 'key', comment);
  };
  const text = render([]);
  expect(text).toContain('| Metric | `main` |\n| - | -: |\n| `test/accuracy` | 0.5 |');
  expect(text).toContain('Will be compared with `main`');
  expect(text).toContain('> **No worker serves the queue** `gpu`: nothing starts until one does.');
  expect(render([{ name: 'w', taskId: undefined }])).not.toContain('No worker');
});

test('a task that waits for Kubernetes shows what its pod waits for, and misses no worker', () => {
  const parked = { status: 'queued', statusReason: 'k8s pending scheduler', queueId: 'q' } as const;
  const render = (statusMessage: string) => {
    const task = makeReportedTask({ ...parked, statusMessage });
    const queue = { id: 'q', name: 'k8s_scheduler', entries: [task.id], workers: [], isForPods: true };
    return renderComment(makeReport([task], [], { queues: new Map([['q', queue]]) }), 'key', comment);
  };
  const text = render('K8S glue status: Unschedulable (no `GPU` @here)');
  expect(text).toContain('for a Kubernetes pod: ``Unschedulable (no `GPU` @here)``');
  expect(text).not.toContain('No worker');
  expect(render('')).toContain('for a Kubernetes pod');
});

test.each([
  [undefined, undefined],
  ['1', 'The training was enqueued again once.'],
  ['3', 'The training was enqueued again 3 times.'],
  ['<b>', undefined],
])('how often a lost worker was made up for is told: %s', (retries, words) => {
  const task = makeReportedTask(retries === undefined ? {} : { runtime: { ci_retries: retries } });
  const text = renderComment(makeReport([task]), 'key', comment);
  if (words === undefined) expect(text).not.toContain('enqueued again');
  else expect(text).toContain(`A worker was lost. ${words}`);
});

test.each([
  ['stopped', {}],
  ['created', { queueId: 'q' }],
] as const)('a task that was archived before its end is told as archived: %s', (status, fields) => {
  const task = makeReportedTask({ status, isArchived: true, ...fields });
  const text = renderComment(makeReport([task]), 'key', comment);
  expect(text).toContain('archived by somebody');
  expect(text).not.toMatch(/stopped by|taken out/);
});

test('a task that waits for Kubernetes shows what its pod waits for, and misses no worker', () => {
  const parked = { status: 'queued', statusReason: 'k8s pending scheduler', queueId: 'q' } as const;
  const render = (statusMessage: string) => {
    const task = makeReportedTask({ ...parked, statusMessage });
    const queue = { id: 'q', name: 'k8s_scheduler', entries: [task.id], workers: [], isForPods: true };
    return renderComment(makeReport([task], [], { queues: new Map([['q', queue]]) }), 'key', comment);
  };
  const text = render('K8S glue status: Unschedulable (no `GPU` @here)');
  expect(text).toContain('for a Kubernetes pod: ``Unschedulable (no `GPU` @here)``');
  expect(text).not.toContain('No worker');
  expect(render('')).toContain('for a Kubernetes pod');
});

test.each([
  [0, 'none of the commits of `main` before this pull request has a completed training'],
  [1, 'the only commit of `main` before this pull request has no completed training'],
  [2, 'none of the 2 commits of `main` before this pull request has a completed training'],
] as const)('where %d commits were searched for a baseline, so it is said', (commitsSearched, expected) => {
  for (const [reason, rest] of [
    ['no-task', '. If `main` was trained since, merge it'],
    ['unreached', ', but other commits of `main` have one'],
  ] as const) {
    const baseline = { kind: 'missing', reason, branch: 'main', commitsSearched } as const;
    const text = renderComment(makeReport([makeReportedTask()], [], { baseline }), 'key', comment);
    expect(text).toContain(`No baseline: ${expected}${rest}`);
  }
});

describe('the log of a failure', () => {
  function readExcerpt(lines: readonly string[]): string | undefined {
    const task = makeReportedTask({ status: 'failed' });
    const report = makeReport([task], [], { log: { taskId: task.id, isWhole: true, lines } });
    return /```text\n([\s\S]*?)\n```/.exec(renderComment(report, 'key', comment))?.[1];
  }

  test('begins with what the training printed, and leaves out what the SDK says of itself', async () => {
    const fixture = await readFile(
      new URL('../training/fixtures/causes/exception.json', import.meta.url),
      'utf8',
    );
    const { log } = JSON.parse(fixture) as { log: string[] };
    const excerpt = readExcerpt(log)?.split('\n');
    expect(excerpt?.slice(0, 2)).toEqual(['epoch 0', 'Traceback (most recent call last):']);
    expect(excerpt?.slice(-2)).toEqual(['ValueError: bad learning rate 3', 'Process failed, exit code 1']);
  });

  test('begins with the cause, not with what a launcher printed after it', () => {
    const { log = [] } = readFailureConsoles().find(({ name }) => name === 'torchrun rank OOM') ?? {};
    const excerpt = readExcerpt([
      ...log.slice(0, -1),
      ...Array.from({ length: 80 }, () => 'E1128 closing'),
      ...log.slice(-1),
    ]);
    expect(excerpt?.split('\n')[0]).toBe('[rank1]: Traceback (most recent call last):');
    expect(excerpt).toContain('[rank1]: torch.OutOfMemoryError: CUDA out of memory.');
  });

  test('keeps every line of the training, even one that resembles the SDK’s', () => {
    const lines = [
      'epoch 1',
      'ClearML results page: see the wiki',
      'ClearML Monitor: loss is nan',
      '2026-01-01 00:00:00,000 - clearml.resource_monitor - WARNING - my own words',
      'loss 0.5, ClearML Monitor: GPU monitoring is not available',
      'exit code 3 follows',
    ];
    expect(readExcerpt(lines)).toBe(lines.join('\n'));
  });
});

test('several tasks are listed by their seeds, in order, else by number, and not without end', () => {
  const taskOf = (index: number, seed: string | undefined) =>
    makeReportedTask({
      id: String(index).padStart(32, '0'),
      params: seed === undefined ? {} : { 'Args/seed': seed },
    });
  const leadOf = (seeds: ReadonlyArray<string | undefined>) =>
    renderComment(makeReport(seeds.map((seed, index) => taskOf(index, seed))), 'key', comment)
      .replaceAll(/\]\([^)]*\)/g, ']')
      .split('\n')[3];
  expect(leadOf(['10', '9', '1'])).toMatch(/: seeds \[`1`\], \[`9`\], \[`10`\] · /);
  expect(leadOf(['1', '1'])).toMatch(/: \[task 1\], \[task 2\] · /);
  expect(leadOf(['1', undefined])).toMatch(/: \[task 1\], \[task 2\] · /);
  expect(leadOf(Array.from({ length: 12 }, (_, index) => String(index)))).toMatch(/\[`9`\], 2 more · /);
});

test('the lead says when and by which run it was reported, and leads to both sides’ tasks together', () => {
  const base = makeReportedTask({ id: '6'.repeat(32) });
  const render = (baselines: Parameters<typeof makeReport>[1]) =>
    renderComment(makeReport([makeReportedTask()], baselines), 'key', comment);
  expect(render([base])).toContain(
    'Reported 2026-01-01 00:03:00 UTC by this [workflow run](https://github.com/acme/digits/actions/runs/42)\\\n',
  );
  const page = `projects/${'2'.repeat(32)}/compare-tasks;ids=${'1'.repeat(32)},${'6'.repeat(32)}/scalars/graph`;
  expect(render([base])).toContain(` · [side by side in ClearML](https://app.clear.ml/${page})\n`);
  expect(render([])).not.toContain('side by side');
  // The same task on both sides.
  expect(render([makeReportedTask()])).not.toContain('side by side');
});

test('a chart names its lines and their colours, and says of how many runs a line is the mean', () => {
  const metrics = [makeMetric('loss', 'train')];
  const taskOf = (id: string, own = metrics) => makeReportedTask({ id: id.repeat(32), metrics: own });
  const render = (...args: Parameters<typeof makeReport>) =>
    renderComment(makeReport(...args), 'key', comment);
  const seeds = render([taskOf('1'), taskOf('3'), taskOf('5', [])], [taskOf('6')]);
  expect(seeds).toContain(
    '**`loss/train`** · blue: this pull request, mean of 2 runs · brown: `main`\n\n```mermaid',
  );
  expect(seeds).toMatch(/^ {2}line "main" \[.*\n {2}line "this PR" \[/m);
  expect(seeds.replaceAll(/^ *plotColorPalette.*$/gm, '')).not.toMatch(/#[0-9A-F]{6}/i);
  expect(render([taskOf('1')])).toContain('**`loss/train`** · blue: this pull request\n');
});

test('the heading begins with the state, the text for a log does not', () => {
  const report = makeReport([makeReportedTask({ status: 'queued' })]);
  expect(renderComment(report, 'key', comment).split('\n')[1]).toMatch(/^### ⏳ `train` is waiting/);
  expect(renderSummary(report, summary)).toMatch(/^### ⏳ `train` is waiting/);
  expect(writePlain(composeHeading(report))).toMatch(/^train is waiting/);
});

test('a template of one’s own shows no NaN as a number either', () => {
  const task = makeReportedTask({ metrics: [makeMetric('test', 'loss', { last: 0, min: 0 })] });
  const lines = [
    "NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to",
  ];
  const consoles = new Map([[task.id, { lines, isWhole: true }]]);
  const baseline = makeReportedTask({ id: '6'.repeat(32), metrics: [makeMetric('test', 'loss')] });
  const template = compileTemplate(
    't.md',
    '{{metric: test/loss}} | {{baseline: test/loss}} | {{change: test/loss}}',
  );
  expect(renderSummary(makeReport([task], [baseline], { consoles }), template)).toBe(
    'not a number (reported as 0) | `0.5` | n/a\n',
  );
});

test('a chart of very large values tells the unit of its axis', () => {
  const task = makeReportedTask({ metrics: [makeMetric('val', 'loss', { last: 4e16, max: 4e16 })] });
  const curves = new Map([[task.id, new Map([['val/loss', { x: [0, 1, 2], y: [1, 2e16, 4e16] }]])]]);
  const text = renderComment(makeReport([task], [], { curves }), 'key', comment);
  expect(text).toContain('y-axis 0 --> 42');
  expect(text).toContain('in units of 1e15');
});
