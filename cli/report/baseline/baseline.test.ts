import { describe, expect, test } from '@jest/globals';
import type { Ancestor, ListedCommit } from '../../github/client.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import type { ReportedTask } from '../reported-task.ts';
import { selectBranchBaseline, selectTagBaseline, walkFirstParents } from './baseline.ts';
import { parseBaseline } from './rules.ts';

const PIPELINE = 'p'.repeat(32);

interface TaskTraits extends Omit<Partial<ReportedTask>, 'script'> {
  readonly commit?: string;
  readonly tree?: string;
  readonly event?: string;
  readonly pipeline?: string;
  readonly branch?: string;
  readonly hasDiff?: boolean;
  readonly key?: string;
  readonly pullRequest?: string;
}

let count = 0;

/** A completed task as the workflow's launch on a push leaves it, but for what is said. */
function makeTask(traits: TaskTraits = {}): ReportedTask {
  const { commit, tree, event, pipeline, branch, hasDiff, key, pullRequest, ...fields } = traits;
  count += 1;
  return {
    id: String(count).padStart(32, '0'),
    name: 'train',
    projectId: 'project',
    status: 'completed',
    statusReason: '',
    statusMessage: '',
    createdAtMs: count,
    startedAtMs: undefined,
    endedAtMs: undefined,
    iteration: 1,
    worker: undefined,
    queueId: undefined,
    tags: [],
    parent: undefined,
    isArchived: false,
    runtime: {
      [RUNTIME_KEYS.key]: key ?? `key ${count}`,
      [RUNTIME_KEYS.pipeline]: pipeline ?? PIPELINE,
      [RUNTIME_KEYS.event]: event ?? 'push',
      ...(tree === undefined ? {} : { [RUNTIME_KEYS.code]: tree }),
      ...(pullRequest === undefined ? {} : { [RUNTIME_KEYS.pullRequest]: pullRequest }),
    },
    script: {
      repository: undefined,
      branch: branch ?? 'main',
      commit,
      entryPoint: undefined,
      workingDir: undefined,
      hasDiff: hasDiff ?? false,
      packages: [],
    },
    image: undefined,
    params: {},
    hasToldArguments: false,
    metrics: [],
    monitors: [],
    artifacts: [],
    outputModels: [],
    inputModels: [],
    ...fields,
  };
}

const ANCESTORS: readonly Ancestor[] = ['a', 'b', 'c'].map((name) => ({
  commit: `${name}1`,
  tree: `${name}2`,
}));
const OWN = makeTask({ commit: 'own1', tree: 'own2', event: 'pull_request', branch: 'topic' });

const HEAD = 'own1';

function select(
  candidates: readonly ReportedTask[],
  own: readonly ReportedTask[] = [OWN],
  head: string | undefined = HEAD,
) {
  return selectBranchBaseline(ANCESTORS, candidates, {
    pipeline: PIPELINE,
    branch: 'main',
    own,
    pullRequest: 7,
    head,
    seedParam: 'Args/seed',
  });
}

describe('the baseline on a branch', () => {
  test('is the nearest ancestor that has a task, by commit or by tree', () => {
    const far = makeTask({ commit: 'c1' });
    const near = makeTask({ commit: 'elsewhere', tree: 'b2' });
    expect(select([far, near])).toMatchObject({ tasks: [near], commit: 'b1', commitsBehind: 1 });
    expect(select([far])).toMatchObject({ tasks: [far], commit: 'c1', commitsBehind: 2 });
    expect(select([])).toBeUndefined();
  });

  test('may be a task of the pull request that was merged by squashing: its tree is the base branch’s', () => {
    const merged = makeTask({ commit: 'topic1', tree: 'a2', event: 'pull_request', branch: 'topic' });
    expect(select([merged])).toMatchObject({ tasks: [merged], commit: 'a1', commitsBehind: 0 });
  });

  test.each<[string, TaskTraits]>([
    ['another pipeline', { pipeline: 'q' }],
    [
      'no key of ours: made by hand',
      { runtime: { [RUNTIME_KEYS.pipeline]: PIPELINE, [RUNTIME_KEYS.event]: 'push' } },
    ],
    ['uncommitted changes', { hasDiff: true }],
    ['a dispatch', { event: 'workflow_dispatch' }],
    ['a launch from another branch', { event: 'launch', branch: 'topic' }],
    ['no success', { status: 'failed' }],
    ['no end yet', { status: 'in_progress' }],
    ['an archived task', { isArchived: true }],
    ['a commit that is no ancestor', { commit: 'z1' }],
  ])('is never %s', (_, traits) => {
    expect(select([makeTask({ commit: 'a1', ...traits })])).toBeUndefined();
  });

  test.each<[string, TaskTraits]>([
    ['a launch on the base branch', { event: 'launch', branch: 'main' }],
    ['a merge queue', { event: 'merge_group' }],
    ['a published task', { status: 'published' }],
  ])('may be %s', (_, traits) => {
    expect(select([makeTask({ commit: 'a1', ...traits })])).toBeDefined();
  });

  test('is all seeds of the commit, newest first', () => {
    const seeds = ['1', '2', '3'].map((seed) => makeTask({ commit: 'a1', params: { 'Args/seed': seed } }));
    expect(select([...seeds, makeTask({ commit: 'b1' })])?.tasks).toEqual([...seeds].reverse());
  });

  test('is of one set of params, the one that is most like the code under test', () => {
    const own = makeTask({ ...OWN, params: { 'Args/lr': '0.1', 'Args/epochs': '30' } });
    const like = makeTask({ commit: 'a1', params: { 'Args/lr': '0.2', 'Args/epochs': '30' } });
    const unlike = makeTask({ commit: 'a1', params: { 'Args/lr': '0.2', 'Args/epochs': '5' } });
    expect(select([like, unlike], [own])).toMatchObject({ tasks: [like], passedOver: 1 });
  });
});

describe('a launch by hand on the base branch', () => {
  const withRate = (rate: string, traits: TaskTraits = {}) =>
    makeTask({ commit: 'a1', event: 'launch', params: { 'Args/lr': rate }, ...traits });
  const pushed = withRate('1', { commit: 'b1', event: 'push' });
  const own = [withRate('1', { commit: 'own1', event: 'pull_request', branch: 'topic' })];

  test('with settings of its own is a trial: it displaces no commit, and nobody waits for it', () => {
    const trial = withRate('10');
    const running = withRate('10', { status: 'in_progress' });
    expect(select([pushed, trial, running], own)).toMatchObject({
      tasks: [pushed],
      unfinished: undefined,
      history: [{ commit: 'b1' }],
    });
  });

  test('with the branch’s settings is waited for, though a queued task has not named all of them', () => {
    const params = { 'Args/lr': '1', 'Args/epochs': '30' };
    const complete = withRate('1', { commit: 'b1', event: 'push', params });
    const queued = withRate('1', { status: 'queued' });
    expect(select([complete, queued], own)).toMatchObject({ unfinished: { tasks: [queued] } });
  });

  test('on the commit that is compared with hides no settings that the pull request changes', () => {
    const changed = [withRate('10', { commit: 'own1', event: 'pull_request', branch: 'topic' })];
    const trial = withRate('10', { commit: 'b1' });
    expect(select([pushed, trial], changed)).toMatchObject({ tasks: [pushed] });
    // By a repository's variable, say: the code is the branch's own.
    const same = [withRate('10', { commit: 'own1', tree: 'b2', event: 'pull_request', branch: 'topic' })];
    const base = withRate('1', { commit: 'b1', tree: 'b2', event: 'push' });
    const alike = withRate('10', { commit: 'b1', tree: 'b2' });
    expect(select([base, alike], same)).toMatchObject({ tasks: [base], isSameTraining: false });
  });

  test('with the branch’s settings counts, whatever the pull request changes', () => {
    const usual = withRate('1', { params: { 'Args/lr': '1', 'Args/seed': '2' } });
    const changed = [withRate('10', { commit: 'own1', event: 'pull_request', branch: 'topic' })];
    expect(select([pushed, usual], changed)).toMatchObject({ tasks: [usual], commit: 'a1' });
  });

  test('with the settings under test counts where the branch itself has not trained the commit', () => {
    const older = withRate('2', { commit: 'b1', event: 'push' });
    const usual = withRate('1');
    expect(select([older, usual], own)).toMatchObject({ tasks: [usual], commit: 'a1' });
  });

  test('is the history of a branch that nobody trains otherwise: those with the settings under test, else all', () => {
    const like = withRate('1', { commit: 'b1' });
    const unlike = withRate('10');
    expect(select([like, unlike], own)).toMatchObject({ tasks: [like], commit: 'b1' });
    expect(select([unlike], own)).toMatchObject({ tasks: [unlike], commit: 'a1' });
  });
});

describe('a commit that is still being trained', () => {
  const older = makeTask({ commit: 'b1' });
  const running = makeTask({ commit: 'a1', status: 'in_progress' });

  test('is told where it lies nearer than the baseline, or on it', () => {
    const queued = makeTask({ commit: 'topic1', tree: 'a2', status: 'queued', event: 'pull_request' });
    expect(select([older, running, queued])).toMatchObject({
      commit: 'b1',
      unfinished: { commit: 'a1', commitsBehind: 0, tasks: [queued, running] },
    });
    const furtherSeed = makeTask({ commit: 'b1', status: 'in_progress' });
    expect(select([older, furtherSeed])?.unfinished).toMatchObject({ commit: 'b1', tasks: [furtherSeed] });
  });

  test.each<[string, TaskTraits]>([
    ['it lies behind the baseline', { commit: 'c1' }],
    ['it has failed', { status: 'failed' }],
    ['it is a draft that nobody has queued', { status: 'created' }],
    ['it is a trial', { event: 'workflow_dispatch' }],
    ['it is the training under test', { id: OWN.id }],
  ])('is nobody’s concern where %s', (_, traits) => {
    expect(
      select([older, { ...running, ...makeTask({ commit: 'a1', status: 'queued', ...traits }) }]),
    ).toMatchObject({
      commit: 'b1',
      unfinished: undefined,
    });
  });
});

describe('where the nearest trained commit is the code under test itself', () => {
  const older = makeTask({ commit: 'b1' });

  test('it is the baseline, as the same training, by the very task', () => {
    const reused = makeTask({ commit: 'a1', tree: 'hash' });
    expect(select([older, reused], [reused])).toMatchObject({
      tasks: [reused],
      commit: 'a1',
      isSameTraining: true,
    });
  });

  test('it is the baseline, as the same training, by another task with the same key: trained again', () => {
    const base = ['1', '2'].map((seed) =>
      makeTask({ commit: 'a1', tree: 'hash', key: `same ${seed}`, params: { 'Args/seed': seed } }),
    );
    const own = ['2', '3'].map((seed) =>
      makeTask({ commit: 'own1', tree: 'hash', key: `same ${seed}`, params: { 'Args/seed': seed } }),
    );
    expect(select([older, ...base, ...own], own)).toMatchObject({ commit: 'a1', isSameTraining: true });
    expect(select([older, ...base], own)?.tasks).toEqual([...base].reverse());
  });

  const trained = { commit: 'own1', event: 'pull_request', branch: 'topic', pullRequest: '7' };

  test('it is the baseline, as the same training, where an empty pull request trained it first', () => {
    const own = makeTask({ ...trained, tree: 'a2' });
    expect(select([older, own], [own])).toMatchObject({ commit: 'a1', isSameTraining: true });
  });

  test('a task that this pull request trained with other params is no baseline of itself', () => {
    const own = makeTask({ ...trained, tree: 'a2', params: { 'Args/lr': '10' } });
    const base = makeTask({ commit: 'a1', tree: 'a2', params: { 'Args/lr': '0.1' } });
    expect(select([older, base, own], [own])).toMatchObject({ tasks: [base], isSameTraining: false });
    expect(select([older, own], [own])).toMatchObject({ tasks: [older], isSameTraining: false });
    expect(select([own], [own])).toBeUndefined();
  });

  test('nor does a mark make it one, or a second training enter the mean of the first', () => {
    const commit = 'a'.repeat(40);
    const tags = [`base:main:${commit}`];
    const marked = makeTask({ ...trained, tree: 'other', tags, params: { 'Args/lr': '10' } });
    const search = { pipeline: PIPELINE, branch: 'main', own: [marked], pullRequest: 7, head: HEAD };
    const first = makeTask({ commit });
    const found = selectBranchBaseline([{ commit, tree: 'tree' }], [first, marked], {
      ...search,
      seedParam: 'Args/seed',
    });
    expect(found).toMatchObject({ tasks: [first], isSameTraining: false });
    const base = makeTask({ commit: 'a1', key: 'same' });
    const again = makeTask({ ...trained, tree: 'a2', key: 'same' });
    expect(select([base, again], [again])).toMatchObject({ tasks: [base], isSameTraining: true });
  });

  test('but with other settings it is compared with as any other commit', () => {
    const base = makeTask({ commit: 'a1', tree: 'hash', params: { 'Args/lr': '0.1' } });
    const own = makeTask({ commit: 'own1', tree: 'hash', params: { 'Args/lr': '9' } });
    expect(select([older, base], [own])).toMatchObject({ tasks: [base], isSameTraining: false });
    // Only one of the tasks under test is the base's own.
    const mixed = makeTask({ ...base, key: 'key', id: 'f'.repeat(32) });
    const same = makeTask({ ...base, key: 'key' });
    expect(select([older, mixed], [same, own])?.isSameTraining).toBe(false);
  });

  test('an older commit of the same code is no history: a pull request that takes something back', () => {
    const base = makeTask({ commit: 'a1' });
    const reverted = makeTask({ commit: 'b1', tree: 'hash' });
    const found = select([base, reverted], [makeTask({ commit: 'own1', tree: 'hash' })]);
    expect(found).toMatchObject({ commit: 'a1', isSameTraining: false });
    expect(found?.history).toHaveLength(1);
  });

  test('but not after the merge, when the pull request’s own commit is on the base branch', () => {
    const own = makeTask({ commit: 'a1', event: 'pull_request', branch: 'topic' });
    expect(select([older, own], [own], 'a1')).toMatchObject({ commit: 'b1', isSameTraining: false });
  });
});

function selectTagged(candidates: readonly ReportedTask[], own: readonly ReportedTask[] = [OWN]) {
  return selectTagBaseline(candidates, {
    tag: 'production',
    own,
    pullRequest: 7,
    branch: 'main',
    seedParam: 'Args/seed',
  });
}

test.each<[string, TaskTraits, string]>([
  ['another open pull request', { event: 'pull_request' }, 'other'],
  ['a pull request into another branch', { event: 'pull_request' }, `base:next:${'a'.repeat(40)}`],
  ['a pull request from a fork', { event: 'pull_request_target' }, 'other'],
  ['a merge queue, which may yet refuse it', { event: 'merge_group' }, 'other'],
  ['a dispatch', { event: 'workflow_dispatch' }, 'other'],
])('the baseline by tag is none of %s', (_, traits, tag) => {
  const real = makeTask({ tags: ['production'] });
  const trial = makeTask({ tags: ['production', tag], ...traits });
  expect(selectTagged([real, trial])).toMatchObject({ tasks: [real] });
  expect(selectTagged([trial])).toBeUndefined();
});

test('the baseline by tag may be what a pull request trained, once a push to the base branch has marked it', () => {
  const tags = ['production', `base:main:${'a'.repeat(40)}`];
  const merged = makeTask({ tags, event: 'pull_request' });
  const launched = makeTask({ tags: ['production'], event: 'launch' });
  expect(selectTagged([merged])).toMatchObject({ tasks: [merged] });
  expect(selectTagged([launched])).toMatchObject({ tasks: [launched] });
});

test('the baseline by tag is none that this pull request trained, and none with uncommitted changes', () => {
  const tags = ['production'];
  const real = makeTask({ tags });
  const runtime = { ...OWN.runtime, [RUNTIME_KEYS.pullRequest]: '7' };
  const own = { ...makeTask({ ...OWN, tags }), runtime };
  const earlier = { ...makeTask({ commit: 'own0', tags }), runtime };
  const changed = makeTask({ tags, hasDiff: true });
  expect(selectTagged([real, own, earlier, changed], [own])).toMatchObject({ tasks: [real], passedOver: 0 });
  expect(selectTagged([own, earlier, changed], [own])).toBeUndefined();
});

test('the baseline by tag that the pull request reuses is the same training', () => {
  const anchor = makeTask({ tags: ['production', 'pr:7'] });
  expect(selectTagged([anchor], [anchor])).toMatchObject({ tasks: [anchor], isSameTraining: true });
  expect(selectTagged([anchor])).toMatchObject({ tasks: [anchor], isSameTraining: false });
  const byHand = makeTask({ tags: ['production'] });
  expect(selectTagged([byHand], [byHand])).toBeUndefined();
});

test('the baseline by tag is the newest task with it, of this project and pipeline', () => {
  const tags = ['production'];
  const old = makeTask({ tags });
  const byHand = makeTask({ tags, runtime: {} });
  const others = [
    makeTask({ tags: ['production2'] }),
    makeTask({ tags, projectId: 'other' }),
    makeTask({ tags, pipeline: 'other' }),
    makeTask({ tags, status: 'failed' }),
  ];
  expect(selectTagged([old, byHand, ...others])).toMatchObject({
    by: 'tag',
    tasks: [byHand],
    passedOver: 1,
  });
  expect(selectTagged(others)).toBeUndefined();
  // Somebody cloned it in the web page, and trained something else with it.
  const clone = makeTask({ tags, runtime: {}, parent: old.id });
  expect(selectTagged([old, clone])).toMatchObject({ tasks: [old], passedOver: 0 });
});

test('the baseline by tag is all seeds of the newest task’s code and params that carry the tag', () => {
  const tags = ['production'];
  const seeded = (seed: string, traits: TaskTraits = {}) =>
    makeTask({ commit: 'a1', tree: 'a2', tags, params: { 'Args/seed': seed }, ...traits });
  const passedOver = [
    seeded('1', { commit: 'z1', tree: 'z2' }),
    seeded('3', { params: { 'Args/seed': '3', 'Args/lr': '0.1' } }),
    seeded('4', { image: 'python:3.12' }),
    seeded('6', { runtime: {} }),
  ];
  const untagged = seeded('7', { tags: [] });
  // A merge commit of the same tree is the same code.
  const same = [seeded('1'), seeded('2', { commit: 'm1' }), seeded('3')];
  expect(selectTagged([...same, ...passedOver, untagged])).toMatchObject({
    tasks: [...same].reverse(),
    passedOver: passedOver.length,
  });
  const byHand = seeded('8', { runtime: {} });
  expect(selectTagged([...same, byHand])).toMatchObject({ tasks: [byHand], passedOver: same.length });
});

test('first parents are walked as far as the list reaches', () => {
  const listed = new Map(
    [
      ['merge', 'first', 'second'],
      ['first', 'root'],
      ['second', 'root'],
    ].map(([commit = '', ...parents]): [string, ListedCommit] => [
      commit,
      { commit, tree: `${commit}-tree`, parents },
    ]),
  );
  const walk = walkFirstParents('merge', listed, 100);
  expect(walk.chain.map(({ commit }) => commit)).toEqual(['merge', 'first']);
  expect(walk.next).toBe('root');
  expect(walkFirstParents('merge', listed, 1)).toMatchObject({ chain: [{ commit: 'merge' }], next: 'first' });
});

test.each([
  ['none', 'none'],
  ['ab'.repeat(16), { task: 'ab'.repeat(16) }],
  ['branch:release/2', { branch: 'release/2', runs: 10 }],
  ['tag:a:b', { tag: 'a:b' }],
])('--baseline %s', (text, rule) => {
  expect(parseBaseline(text)).toEqual(rule);
});

test.each(['', 'main', 'branch:', 'tag: ', 'ab12'])('--baseline %j is a mistake', (text) => {
  expect(() => parseBaseline(text)).toThrow('invalid --baseline');
});
