import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReportedTask } from '../dev/made-up-report.ts';
import type { CodeHost, ListedCommit } from '../github/client.ts';
import type { MetricRule } from '../shell/config.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import type { ReportServer, SourceServers } from './ports.ts';
import type { ReportedTask } from './reported-task.ts';
import { completeSources, gatherSources } from './sources.ts';
import { readSubject, type SourceOptions } from './subject.ts';

const HEAD = '3'.repeat(40);
const PIPELINE = 'p'.repeat(32);

function launchedTask(fields: Partial<ReportedTask>, commit: string): ReportedTask {
  const task = makeReportedTask(fields);
  return {
    ...task,
    script: { ...task.script, commit },
    runtime: {
      [RUNTIME_KEYS.key]: 'key',
      [RUNTIME_KEYS.pipeline]: PIPELINE,
      [RUNTIME_KEYS.event]: 'push',
      [RUNTIME_KEYS.code]: `${commit}-tree`,
    },
  };
}

const OWN = launchedTask({ metrics: [makeMetric('loss', 'train')] }, HEAD);

const OPTIONS: SourceOptions = {
  taskIds: [OWN.id],
  baselineRules: [{ runs: 10 }],
  seedParam: 'Args/seed',
  expected: { baseBranch: 'main', headCommit: HEAD, headBranch: undefined },
  pullRequest: 7,
  hasPaths: false,
  rules: [],
  settingsPath: undefined,
};

/** Everything a report needs. */
async function collectSources(options: SourceOptions, servers: SourceServers) {
  const gathered = await gatherSources(await readSubject(options, servers), options, servers);
  return completeSources(gathered, options.rules, servers).whole;
}

function makeServer(tasks: readonly ReportedTask[], overrides: Partial<ReportServer> = {}): ReportServer {
  return {
    readTasks: async (ids) =>
      new Map([OWN, ...tasks].filter(({ id }) => ids.includes(id)).map((task) => [task.id, task])),
    findTasksByCode: async ({ codeIds }) =>
      tasks.filter(({ script }) => script.commit !== undefined && codeIds.includes(script.commit)),
    findTasksByBranch: async () => [],
    findTasksByTag: async () => [],
    readCurves: async () => new Map(),
    readLogEnd: async () => ({ lines: [], isWhole: true }),
    readConsole: async () => ({ lines: [], isWhole: true }),
    readQueues: async () => new Map(),
    readPlots: async () => [],
    ...overrides,
  };
}

const comparisonWith = (mergeBase: string) => ({
  mergeBase,
  head: { commit: HEAD, tree: `${HEAD}-tree` },
});

/** A base branch of merges: each commit of the main line brings 9 others along, so a page holds 10 of the main line. */
function makeHost(
  length: number,
  overrides: Partial<CodeHost> = {},
  commitsAPage = 10,
): CodeHost & { readonly pages: string[] } {
  const line = Array.from({ length }, (_, index) => `main${index}`);
  const pages: string[] = [];
  return {
    pages,
    readPullRequest: async () => ({ headCommit: HEAD, baseBranch: 'main' }),
    compareCommits: async () => comparisonWith('main0'),
    async listCommits(ref) {
      pages.push(ref);
      const start = ref === 'main' ? 0 : line.indexOf(ref);
      return line.slice(start, start + commitsAPage).flatMap((commit, index): ListedCommit[] => {
        const next = line[start + index + 1];
        const own = {
          commit,
          tree: `${commit}-tree`,
          parents: next === undefined ? [] : [next, `${commit}-side`],
        };
        return [own, { commit: `${commit}-side`, tree: 'x', parents: [] }];
      });
    },
    readTree: async () => undefined,
    readFile: async () => undefined,
    ...overrides,
  };
}

/** As makeServer, and notes what it is asked for. */
function makeListeningServer(tasks: readonly ReportedTask[], onBranch: readonly ReportedTask[] = []) {
  const asked: Array<{ readonly codes: number; readonly branch: string | undefined }> = [];
  const server = makeServer(tasks);
  return {
    asked,
    server: {
      ...server,
      findTasksByCode: async (search: Parameters<ReportServer['findTasksByCode']>[0]) => {
        asked.push({ codes: search.codeIds.length, branch: search.branch });
        const found = await server.findTasksByCode(search);
        return search.branch === undefined ? found : [...found, ...onBranch];
      },
      findTasksByBranch: async ({ branch }: Parameters<ReportServer['findTasksByBranch']>[0]) => {
        asked.push({ codes: 0, branch });
        return onBranch;
      },
    },
  };
}

const GATED: readonly MetricRule[] = [
  { metric: 'loss/train', goal: 'minimize', value: 'last', tolerance: 0, gate: 'fail' },
];

test('first parents that are spread over pages are followed, with two questions to ClearML', async () => {
  const far = launchedTask({ id: '6'.repeat(32) }, 'main25');
  const host = makeHost(200);
  const { server, asked } = makeListeningServer([far]);
  const { baseline } = await collectSources(OPTIONS, { clearml: server, github: Promise.resolve(host) });
  expect(baseline).toMatchObject({ kind: 'found', commit: 'main25', commitsBehind: 25, tasks: [far] });
  expect(host.pages).toEqual(['main', 'main10', 'main20', 'main30']);
  expect(asked).toEqual([
    { codes: 20, branch: undefined },
    { codes: 60, branch: undefined },
  ]);
});

test('further pages are not asked for where the first has a task', async () => {
  const host = makeHost(200);
  const { server, asked } = makeListeningServer([launchedTask({ id: '6'.repeat(32) }, 'main9')]);
  await collectSources({ ...OPTIONS, rules: GATED }, { clearml: server, github: Promise.resolve(host) });
  expect(host.pages).toEqual(['main']);
  expect(asked).toHaveLength(1);
});

test('a branch that was trained only in pull requests, merged since, has a history out of reach', async () => {
  const ask = async (found: ReportedTask) => {
    const host = makeHost(60, { compareCommits: async () => comparisonWith('main30') }, 100);
    const asked: string[][] = [];
    const clearml = makeServer([], {
      findTasksByBranch: async ({ codeIds }) => {
        asked.push([...codeIds]);
        return [found];
      },
    });
    const { baseline } = await collectSources(
      { ...OPTIONS, rules: GATED },
      { clearml, github: Promise.resolve(host) },
    );
    expect(asked[0]).toContain('main29');
    expect(asked[0]).not.toContain('main30');
    return baseline;
  };
  const pull = launchedTask({ id: '6'.repeat(32) }, 'topic');
  const inPull = (code: string): ReportedTask => ({
    ...pull,
    script: { ...pull.script, branch: 'topic' },
    runtime: {
      ...pull.runtime,
      [RUNTIME_KEYS.event]: 'pull_request',
      [RUNTIME_KEYS.code]: code,
    },
  });
  expect(await ask(inPull('main3-tree'))).toMatchObject({ kind: 'missing', reason: 'unreached' });
  expect(await ask(inPull('elsewhere'))).toMatchObject({ kind: 'missing', reason: 'no-task' });
  const marked = { ...inPull('elsewhere'), tags: [`base:main:${'a'.repeat(40)}`] };
  expect(await ask(marked)).toMatchObject({ kind: 'missing', reason: 'unreached' });
});

test('the search ends after four pages, and says how far it came', async () => {
  const host = makeHost(200);
  const { baseline } = await collectSources(OPTIONS, {
    clearml: makeServer([]),
    github: Promise.resolve(host),
  });
  expect(baseline).toMatchObject({ kind: 'missing', reason: 'no-task', commitsSearched: 40 });
  expect(host.pages).toHaveLength(4);
});

test.each([
  ['whose first parents fill one page', 9, [18, 0]],
  ['whose first parents fill more', 200, [20, 60]],
])(
  'a base branch %s is asked for twice, also to tell what lies too far from nothing',
  async (_, length, codes) => {
    const ask = async (onBranch: readonly ReportedTask[]) => {
      const { server, asked } = makeListeningServer([], onBranch);
      const { baseline } = await collectSources(
        { ...OPTIONS, rules: GATED },
        { clearml: server, github: Promise.resolve(makeHost(length)) },
      );
      expect(asked.map((question) => question.codes)).toEqual(codes);
      expect(asked[1]?.branch).toBe('main');
      return baseline.kind === 'missing' ? baseline.reason : undefined;
    };
    expect(await ask([])).toBe('no-task');
    const elsewhere = launchedTask({ id: '6'.repeat(32) }, 'main999');
    const script = { ...elsewhere.script, branch: 'main' };
    expect(await ask([{ ...elsewhere, script }])).toBe('unreached');
  },
);

test('a merge base that the newest page does not hold is listed from there', async () => {
  const near = launchedTask({ id: '6'.repeat(32) }, 'main50');
  const host = makeHost(200, { compareCommits: async () => comparisonWith('main50') });
  const { baseline } = await collectSources(OPTIONS, {
    clearml: makeServer([near]),
    github: Promise.resolve(host),
  });
  expect(baseline).toMatchObject({ kind: 'found', commit: 'main50', commitsBehind: 0 });
  expect(host.pages).toEqual(['main', 'main50']);
});

test('all commits with tasks on the way are the history, the nearest first', async () => {
  const tasks = ['main3', 'main1', 'main7'].map((commit, index) =>
    launchedTask({ id: String(index + 5).repeat(32) }, commit),
  );
  const { baseline } = await collectSources(OPTIONS, {
    clearml: makeServer(tasks),
    github: Promise.resolve(makeHost(9)),
  });
  expect(baseline.kind === 'found' && baseline.history.map(({ commit }) => commit)).toEqual([
    'main1',
    'main3',
    'main7',
  ]);
});

test('a refusal of the commits is no failure of the report; one of the pull request is kept for later', async () => {
  const refusal = new Failure('no', { exitCode: EXIT_CODES.refused, remedy: 'ask' });
  const refuse = async () => {
    throw refusal;
  };
  const sources = await collectSources(OPTIONS, {
    clearml: makeServer([]),
    github: Promise.resolve(makeHost(9, { listCommits: refuse, readPullRequest: refuse })),
  });
  expect(sources).toMatchObject({
    failure: refusal,
    baseline: { kind: 'missing', reason: 'no-github', failure: refusal },
    isCurrent: undefined,
  });
});

test('curves and details that ClearML does not give are left out, and that is said', async () => {
  const fail = async () => {
    throw new Failure('too late', { exitCode: EXIT_CODES.unavailable, remedy: 'wait' });
  };
  const sources = await collectSources(OPTIONS, {
    clearml: makeServer([], { readCurves: fail, readPlots: fail }),
    github: undefined,
  });
  expect(sources.unread).toEqual(['curves', 'details']);
});

test('each state asks for what a reader wants to know of it, and for nothing else', async () => {
  const asked: string[] = [];
  const ask = (status: ReportedTask['status']) => {
    const task = { ...OWN, status, queueId: 'queue' };
    const note =
      <T>(name: string, value: T) =>
      async () => {
        asked.push(name);
        return value;
      };
    return collectSources(
      { ...OPTIONS, baselineRules: [] },
      {
        github: undefined,
        clearml: makeServer([], {
          readTasks: async () => new Map([[task.id, task]]),
          readLogEnd: note('log', { lines: [], isWhole: true }),
          readQueues: note('queues', new Map()),
          readPlots: note('plots', []),
        }),
      },
    );
  };
  for (const status of ['created', 'queued', 'in_progress', 'failed', 'stopped', 'completed'] as const)
    await ask(status);
  expect(asked).toEqual(['queues', 'log', 'log', 'plots']);
});

describe('the console', () => {
  const ask = async (metric: ReturnType<typeof makeMetric>, curve: readonly number[] = []) => {
    const task = { ...OWN, metrics: [metric] };
    const asked: string[] = [];
    const note =
      "NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to assign another value";
    const servers = {
      github: undefined,
      clearml: makeServer([], {
        readTasks: async () => new Map([[task.id, task]]),
        readCurves: async () =>
          new Map([[task.id, new Map([[metric.name, { x: curve.map((_, at) => at), y: curve }]])]]),
        readConsole: async (id) => {
          asked.push(id);
          return { lines: ['epoch 1', note, 'epoch 2'], isWhole: true };
        },
      }),
    };
    const options = { ...OPTIONS, baselineRules: [] };
    const gathered = await gatherSources(await readSubject(options, servers), options, servers);
    const { lack, whole } = completeSources(gathered, [], servers);
    return { lack, asked, lines: (await whole).consoles.get(task.id)?.lines, note };
  };

  test('is read for an exact 0 without a gate, before anything is posted, and only its notes are kept', async () => {
    const { lack, asked, lines, note } = await ask(makeMetric('test', 'loss', { last: 0, min: 0 }));
    expect(lack).toBe('judgement');
    expect(asked).toEqual([OWN.id]);
    expect(lines).toEqual([note]);
  });

  test.each<readonly [what: string, fields: Parameters<typeof makeMetric>[2], curve: readonly number[]]>([
    ['a 0 that the curve dips to', { last: 1, min: 0, minAt: 2, count: 4 }, [2, 1.5, 0, 1]],
    ['a whole number that the curve leaps to', { last: -1, min: -1, minAt: 3, count: 4 }, [2, 1.9, 1.8, -1]],
  ])('is read after the curves for %s', async (_, fields, curve) => {
    const { lack, asked } = await ask(
      makeMetric('test', 'loss', { first: 2, max: 2, maxAt: 0, ...fields }),
      curve,
    );
    expect(lack).toBe('curves');
    expect(asked).toEqual([OWN.id]);
  });

  test.each<readonly [what: string, metric: ReturnType<typeof makeMetric>, curve: readonly number[]]>([
    ['ordinary numbers', makeMetric('test', 'loss', { min: 0.5, count: 2 }), [1, 0.5]],
    ['a learning rate of 0', makeMetric('lr', 'group0', { last: 0, min: 0 }), []],
    [
      'a course that begins at 0',
      makeMetric('test', 'acc', { min: 0, minAt: 0, max: 0.5, maxAt: 3, count: 4 }),
      [0, 0.2, 0.4, 0.5],
    ],
  ])('is not read for %s', async (_, metric, curve) => {
    expect((await ask(metric, curve)).asked).toEqual([]);
  });
});
