import { beforeAll, describe, expect, test } from '@jest/globals';
import { renderGithubMarkdown } from '../dev/github-markdown.ts';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import type { Comparison, MetricJudgement } from '../gate/data.ts';
import type { ReportSettings } from '../report/base-settings.ts';
import type { Plot } from '../report/drawing/plot.ts';
import { renderComment, renderSummary } from '../report/markdown.ts';
import type { Report } from '../report/report.ts';
import { compileTemplate, readTemplates } from '../report/template.ts';
import { RUNTIME_KEYS } from '../training/task.ts';

const { comment } = await readTemplates('.', undefined);

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
        passedOver: 2,
        isSameTraining: false,
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
  });

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
    // No more than the template shows.
    const makeSmallReport = (makeName: () => string) => {
      const { script } = makeReportedTask();
      return makeReport([makeReportedTask({ name: makeName(), script: { ...script, branch: makeName() } })]);
    };
    const [expected, ...rendered] = await renderGithubMarkdown([
      renderSummary(makeSmallReport(makePlainName), template),
      ...Array.from({ length: 300 }, () => renderSummary(makeSmallReport(name), template)),
    ]);
    for (const html of rendered) expect(toSkeleton(html)).toBe(toSkeleton(expected ?? ''));
  });

  test('the check itself sees what breaks out', async () => {
    const [good, bad] = await renderGithubMarkdown(['| a |\n| - |\n| `x` |\n', '| a |\n| - |\n| <b>x |\n']);
    expect(toSkeleton(good ?? '')).not.toBe(toSkeleton(bad ?? ''));
  });
});
