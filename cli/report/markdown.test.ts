import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { renderGithubMarkdown } from '../dev/github-markdown.ts';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import type { Comparison, MetricJudgement } from '../gate/data.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import type { ReportSettings } from './base-settings.ts';
import type { Plot } from './drawing/plot.ts';
import { COMMENT_MAX_LENGTH, renderComment, renderSummary, SUMMARY_MAX_BYTES } from './markdown.ts';
import type { Report } from './report.ts';
import { compileTemplate, readTemplates } from './template.ts';

const { comment, summary } = await readTemplates('.', undefined);

/** mulberry32: the same hostile names at every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

const PIECES = [
  ...[
    '`',
    '``',
    '```',
    '````',
    '~~~',
    '|',
    '\\',
    '\\|',
    '\\\\|',
    '\\`',
    '||',
    '| - |',
    '\n',
    '\r\n',
    '\n\n',
    '\t',
    ' ',
    '  ',
  ],
  ...[
    '<b>',
    '</details>',
    '<summary>',
    '<!--',
    '-->',
    '<img src=x onerror=alert(1)>',
    '<script>',
    '</code>',
    '<![CDATA[',
    '<?',
  ],
  ...[
    '![x](http://evil.example/x.png)',
    '[x](http://evil.example)',
    '[x]: http://evil.example',
    'http://evil.example',
    '<http://evil.example>',
    'www.evil.example',
    'a@evil.example',
  ],
  ...[
    '@octocat',
    '@acme/team',
    '#1',
    'acme/digits#1',
    '0123456789abcdef0123456789abcdef01234567',
    'GH-1',
    ':tada:',
    '$x$',
    '$`',
    '`$',
    '$$',
  ],
  ...[
    '# ',
    '> ',
    '- ',
    '1. ',
    '- [ ] ',
    '---',
    '===',
    '***',
    '__x__',
    '*',
    '_',
    '~~',
    '&amp;',
    '&#96;',
    '&lt;',
    '[^1]',
    '{{metrics}}',
    '{{{lead}}}',
    '{{/x}}',
  ],
  ...[
    '%%{init: {}}%%',
    '"',
    "'",
    '\u0000',
    '\u001b[31m',
    '\u202e',
    '\u200b',
    '\ufeff',
    '\u2028',
    '\ud800',
    '\u{1f600}',
    '\u4e2d',
    'loss',
    'test accuracy',
    'x'.repeat(150),
  ],
];

function createNames(seed: number): () => string {
  const random = createRandom(seed);
  let count = 0;
  return () => {
    count += 1;
    const length = 1 + Math.floor(random() * 6);
    const text = Array.from({ length }, () => PIECES[Math.floor(random() * PIECES.length)]).join('');
    // No two alike, and none that says which way is better: that would change words of ours.
    return `${text.replace(/loss|accuracy/g, 'x')}${count}`;
  };
}

/** A report whose every foreign text is made by `name`. The shape depends on nothing else. */
function makeFullReport(name: () => string): Report {
  const metrics = (values: number) =>
    Array.from({ length: 30 }, (_, index) => ({ index, last: values })).map(({ index, last }) => ({
      ...makeMetric(`t${index}`, 's', { last }),
    }));
  const names = Array.from({ length: 30 }, name);
  const rename = (list: ReturnType<typeof metrics>) =>
    list.map((metric, index) => ({ ...metric, name: names[index] ?? '', title: names[index] ?? '' }));
  const paramNames = Array.from({ length: 12 }, name);
  const makeParams = () => Object.fromEntries(paramNames.map((param) => [`Args/${param}`, name()]));
  const plot: Plot = {
    name: name(),
    iteration: 1,
    kind: 'table',
    columns: [name(), name()],
    rowLabels: [],
    rows: [
      [name(), name()],
      [name(), name()],
    ],
    columnAxis: null,
    rowAxis: null,
  };
  const task = makeReportedTask({
    name: name(),
    worker: name(),
    image: name(),
    params: makeParams(),
    metrics: rename(metrics(0.5)),
    runtime: {
      hostname: name(),
      cpu_cores: '2',
      memory_gb: '8',
      gpu_count: '1',
      gpu_type: name(),
      python_version: name(),
    },
    artifacts: [{ name: name(), type: 'x', sizeBytes: 10 }],
    outputModels: [
      { id: '5'.repeat(32), name: name() },
      { id: name(), name: name() },
    ],
    script: { ...makeReportedTask().script, branch: name(), packages: [`numpy==${name()}`] },
  });
  const baseline = makeReportedTask({
    id: '6'.repeat(32),
    image: name(),
    params: makeParams(),
    metrics: rename(metrics(0.25)),
    script: { ...makeReportedTask().script, packages: [`numpy==${name()}`] },
  });
  const report = makeReport([task], [baseline], {
    plots: [plot],
    baseline: {
      kind: 'found',
      by: 'branch',
      tasks: [baseline],
      name: name(),
      commit: '4'.repeat(40),
      commitsBehind: 2,
      passedOver: 0,
      isSameTraining: false,
      unfinished: { commit: name(), tree: name(), commitsBehind: 0, tasks: [baseline] },
      history: [],
    },
    anchors: [
      {
        kind: 'found',
        by: 'tag',
        tasks: [{ ...baseline, runtime: { [RUNTIME_KEYS.event]: name() } }],
        name: name(),
        commit: name(),
        commitsBehind: undefined,
        passedOver: 2,
        isSameTraining: false,
        unfinished: undefined,
        history: [],
      },
    ],
  });
  const gate = { alpha: 0.05, exitCode: 5 as const, metrics: [makeJudgement(name)] };
  const judged = report.metrics.map((metric) => ({ ...metric, verdict: 'regression' as const }));
  const settings: ReportSettings = {
    kind: 'changed',
    path: name(),
    branch: name(),
    isGated: true,
    problem: null,
    changes: [
      { metric: name(), setting: 'was', base: name(), value: name() },
      { metric: null, setting: 'project', base: null, value: name() },
    ],
  };
  return { ...report, verdict: 'regression', metrics: judged, gate, settings };
}

function makeJudgement(name: () => string): MetricJudgement {
  const comparison: Comparison = {
    baseline: name(),
    verdict: 'regression',
    rule: 'pooled',
    commit: name(),
    base: 0.75,
    change: -0.25,
    tolerance: 0,
    runs: { pullRequest: 3, base: 3 },
    history: [0.75, 0.5],
    noise: { standardDeviation: 0.01, degreesOfFreedom: 4 },
    interval: 0.02,
    pValue: 0.001,
    correctedPValue: 0.001,
    missable: 0.03,
    reasons: [{ kind: 'not-a-number', tasks: [name()] }],
    notes: [{ kind: 'renamed', was: name() }],
  };
  return {
    metric: name(),
    gate: 'fail',
    goal: 'maximize',
    verdict: 'regression',
    value: 0.5,
    reasons: [{ kind: 'missing', tasks: [name()] }],
    comparisons: [comparison],
  };
}

function makeFailedReport(name: () => string): Report {
  const lines = Array.from({ length: 20 }, name);
  const task = makeReportedTask({
    name: name(),
    status: 'failed',
    statusReason: name(),
    statusMessage: name(),
    worker: name(),
  });
  return makeReport([task], [], {
    log: {
      taskId: task.id,
      isWhole: true,
      lines: [
        ...lines,
        'Traceback (most recent call last):',
        `  File "src/${name().replaceAll('"', '')}", line 3`,
        `Error: ${name()}`,
      ],
    },
  });
}

/** The HTML without what stands in code: structure and our own words. */
function toSkeleton(html: string): string {
  return html
    .replace(/<code>[^<]*<\/code>/g, '<code/>')
    .replace(/<pre lang="text"><code>[^<]*<\/code><\/pre>/g, '<pre/>')
    .replace(/<pre lang="text"><code\/><\/pre>/g, '<pre/>')
    .replace(/href="https:\/\/(?:github\.com|app\.clear\.ml)\/[^"]*"/g, 'href="ours"');
}

let plain = 0;

function makePlainName(): string {
  plain += 1;
  return `name${plain}`;
}

describe('whatever the training calls things', () => {
  const REPORTS = 60;

  // The parser's Python environment is made once, and takes its time.
  beforeAll(async () => {
    await renderGithubMarkdown(['']);
  }, 600_000);

  test.each([
    ['comment', makeFullReport],
    ['comment on a failure', makeFailedReport],
  ])('the %s has the structure that we meant, by GitHub’s own parser', async (_, make) => {
    const name = createNames(42);
    const hostile = Array.from({ length: REPORTS }, () => renderComment(make(name), name(), comment));
    const [expected, ...rendered] = await renderGithubMarkdown([
      renderComment(make(makePlainName), 'key', comment),
      ...hostile,
    ]);
    const withoutMarker = (html: string) => toSkeleton(html).replace(/^<!--.*-->\n/, '');
    for (const html of rendered) expect(withoutMarker(html)).toBe(withoutMarker(expected ?? ''));
  });

  test('the same holds for values in a template of one’s own, in a table too', async () => {
    const template = compileTemplate(
      'own.md',
      'Name {{name}} on {{branch}} {{{name}}}\n\n| a | b |\n| - | - |\n| {{name}} | {{branch}} |\n\n- {{name}}\n',
    );
    const name = createNames(7);
    const [expected, ...rendered] = await renderGithubMarkdown([
      renderSummary(makeFullReport(makePlainName), template),
      ...Array.from({ length: 100 }, () => renderSummary(makeFullReport(name), template)),
    ]);
    for (const html of rendered) expect(toSkeleton(html)).toBe(toSkeleton(expected ?? ''));
  });

  test('the check itself sees what breaks out', async () => {
    const [good, bad] = await renderGithubMarkdown(['| a |\n| - |\n| `x` |\n', '| a |\n| - |\n| <b>x |\n']);
    expect(toSkeleton(good ?? '')).not.toBe(toSkeleton(bad ?? ''));
  });
});

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
  expect(text).toContain('To be compared with `main`');
  expect(text).toContain('> **No worker serves the queue** `gpu`: nothing starts before one does.');
  expect(render([{ name: 'w', taskId: undefined }])).not.toContain('No worker');
});

test.each([
  [0, 'none of the commits of `main` that lie before this pull request has a completed training'],
  [1, 'the only commit of `main` that lies before this pull request has no completed training'],
  [2, 'none of the 2 commits of `main` that lie before this pull request has a completed training'],
] as const)('where %d commits were searched for a baseline, so it is said', (commitsSearched, expected) => {
  for (const [reason, rest] of [
    ['no-task', '. To get one, merge'],
    ['unreached', ', but others of `main` have'],
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
