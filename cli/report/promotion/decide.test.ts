import { describe, expect, test } from '@jest/globals';
import { makeReportedTask } from '../../dev/made-up-report.ts';
import { namePromotionTags } from '../../training/names.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import type { ReportedTask } from '../reported-task.ts';
import {
  decideState,
  type FoundModel,
  findPlace,
  isOfBranch,
  isTrainedFor,
  listHolders,
  pickNewest,
  planRemoval,
  wasProduction,
} from './decide.ts';

const TAGS = namePromotionTags('production');
const commitOf = (name: string) => name.repeat(40);
const treeOf = (name: string) => `7${name.repeat(39)}`;
/** Newest first. */
const LISTED = ['c', 'b', 'a'].map((name) => ({ commit: commitOf(name), tree: treeOf(name) }));

let count = 0;

/** A completed task of a push, with a model of the same number. */
function makeTask(name: string, fields: Partial<ReportedTask> = {}): ReportedTask {
  count += 1;
  const id = String(count).padStart(32, '0');
  const { runtime, ...others } = fields;
  const task = makeReportedTask();
  return {
    ...task,
    id,
    createdAtMs: count,
    script: { ...task.script, commit: commitOf(name) },
    outputModels: [{ id: `m${id.slice(1)}`, name: 'model' }],
    runtime: {
      [RUNTIME_KEYS.key]: `${name} ${count}`,
      [RUNTIME_KEYS.pipeline]: 'p',
      [RUNTIME_KEYS.code]: treeOf(name),
      [RUNTIME_KEYS.event]: 'push',
      ...runtime,
    },
    ...others,
  };
}

const modelsOf = (...tasks: ReadonlyArray<readonly [ReportedTask, ...string[]]>) =>
  new Map(
    tasks.flatMap(([{ outputModels }, ...tags]) =>
      outputModels.map(({ id }): [string, FoundModel] => [
        id,
        { id, tags, isPublished: false, isArchived: false, task: undefined },
      ]),
    ),
  );

const isOnBranch = () => false;
const PUSH = { branch: 'main', commit: commitOf('b') };

describe('whether a task trains a pushed commit', () => {
  test.each<[string, Partial<ReportedTask>, boolean]>([
    ['its own', {}, false],
    ['what a launch on the push noted', { runtime: { ci_use_branch: `${PUSH.commit} main u` } }, true],
    ['what one on another branch noted', { runtime: { ci_use_branch: `${PUSH.commit} dev u` } }, false],
    [
      'what the merge queue noted',
      { runtime: { ci_use_queue: `${PUSH.commit} gh-readonly-queue/x u` } },
      true,
    ],
    ['what a pull request noted', { runtime: { ci_use_7: `${PUSH.commit} topic u` } }, false],
    ['a mark of the branch', { tags: [`base:main:${PUSH.commit}`] }, true],
    ['a mark of another branch', { tags: [`base:dev:${PUSH.commit}`] }, false],
  ])('%s', (_, fields, isTrained) => {
    expect(isTrainedFor(makeTask('a', fields), PUSH, undefined)).toBe(isTrained);
  });

  test('by the tree', () => {
    expect(isTrainedFor(makeTask('a'), PUSH, treeOf('a'))).toBe(true);
    expect(isTrainedFor(makeTask('a'), PUSH, treeOf('b'))).toBe(false);
  });

  test('a trial of the same files is not the branch’s, unless the branch has taken it over', () => {
    const trial = { [RUNTIME_KEYS.event]: 'launch' };
    expect(isOfBranch(makeTask('b', { runtime: trial }), PUSH)).toBe(false);
    expect(
      isOfBranch(makeTask('b', { runtime: { ...trial, ci_use_branch: `${PUSH.commit} main u` } }), PUSH),
    ).toBe(true);
    expect(isOfBranch(makeTask('b'), PUSH)).toBe(true);
  });
});

describe('the order', () => {
  test('of a task is that of its newest commit: by id, by tree, or by a mark', () => {
    const place = (task: ReportedTask) => findPlace(task, LISTED, 'main');
    expect(place(makeTask('a'))).toBe(2);
    expect(place(makeTask('a', { tags: [`base-until:main:${commitOf('b')}`] }))).toBe(1);
    expect(place(makeTask('a', { runtime: { [RUNTIME_KEYS.code]: treeOf('c') } }))).toBe(0);
    expect(place(makeTask('f'))).toBe(Number.POSITIVE_INFINITY);
  });

  test('is the same for everyone: newest commit, then newest training', () => {
    const [old, one, other, unknown] = [makeTask('a'), makeTask('b'), makeTask('b'), makeTask('f')];
    for (const tasks of [
      [old, one, other, unknown],
      [unknown, other, one, old],
    ])
      expect(pickNewest(tasks, LISTED, 'main')).toBe(other);
    expect(pickNewest([unknown, old], LISTED, 'main')).toBe(old);
    expect(pickNewest([], LISTED, 'main')).toBeUndefined();
  });
});

describe('what is the production model', () => {
  const tags = ['production'];

  test('is what carries the tag with its model', () => {
    const [whole, half] = [makeTask('a', { tags }), makeTask('b', { tags })];
    expect(listHolders([half, whole], modelsOf([whole, 'production'], [half]), TAGS, isOnBranch)).toEqual([
      whole,
    ]);
  });

  test('is a task that a person has tagged, if no model carries the tag', () => {
    const tagged = makeTask('a', { tags });
    expect(listHolders([tagged], modelsOf([tagged]), TAGS, isOnBranch)).toEqual([tagged]);
  });

  test.each<[string, Partial<ReportedTask>]>([
    ['a clone', { runtime: { [RUNTIME_KEYS.key]: undefined as unknown as string } }],
    ['one that failed', { status: 'failed' }],
  ])('is not %s', (_, fields) => {
    const task = makeTask('a', { tags, ...fields });
    if ('runtime' in fields) delete (task.runtime as Record<string, string>)[RUNTIME_KEYS.key];
    expect(listHolders([task], modelsOf([task, 'production']), TAGS, isOnBranch)).toEqual([]);
  });

  test('is none of a pull request’s, before the branch has it', () => {
    const runtime = { [RUNTIME_KEYS.event]: 'pull_request' };
    const own = makeTask('a', { tags, runtime });
    expect(listHolders([own], modelsOf([own]), TAGS, isOnBranch)).toEqual([]);
    const merged = makeTask('a', { tags: [...tags, `base:main:${commitOf('a')}`], runtime });
    expect(listHolders([own, merged], modelsOf([own], [merged]), TAGS, isOnBranch)).toEqual([merged]);
    expect(listHolders([own], modelsOf([own]), TAGS, () => true)).toEqual([own]);
  });

  test('is what a person has tagged: the models come first, then the tasks', () => {
    const [task, model] = [makeTask('a', { tags }), makeTask('b')];
    expect(listHolders([task, model], modelsOf([task], [model, 'production']), TAGS, isOnBranch)).toEqual([
      model,
    ]);
    const whole = makeTask('a', { tags });
    const models = modelsOf([whole, 'production'], [model, 'production']);
    expect(listHolders([model, whole], models, TAGS, isOnBranch)).toEqual([whole]);
  });

  test('is by a model that its task does not list any more', () => {
    const task = makeTask('a');
    const made = { id: 'm', tags, isPublished: false, isArchived: false, task: task.id };
    expect(listHolders([task], new Map([['m', made]]), TAGS, isOnBranch)).toEqual([task]);
  });

  test('is that of an archived task, unless the model is archived too', () => {
    const task = makeTask('a', { tags, isArchived: true });
    const models = modelsOf([task, 'production']);
    expect(listHolders([task], models, TAGS, isOnBranch)).toEqual([task]);
    const archived = new Map([...models].map(([id, model]) => [id, { ...model, isArchived: true }]));
    expect(listHolders([task], archived, TAGS, isOnBranch)).toEqual([]);
    expect(listHolders([task], modelsOf([task]), TAGS, isOnBranch)).toEqual([]);
  });

  test('is none without the tag', () => {
    const others = ['production-previous', 'production2'];
    const task = makeTask('a', { tags: others });
    expect(listHolders([task], modelsOf([task, ...others]), TAGS, isOnBranch)).toEqual([]);
  });

  test('was one that was given up halfway', () => {
    const task = makeTask('a', { tags });
    expect(wasProduction(task, modelsOf([task, 'production-previous']), TAGS)).toBe(true);
    expect(wasProduction(task, modelsOf([task]), TAGS)).toBe(false);
  });
});

describe('taking the tag away', () => {
  const kept = makeTask('c', { tags: ['production'] });
  const former = makeTask('b', { tags: ['production'] });
  const oldest = makeTask('a', { tags: ['production-previous'] });
  const idOf = ({ outputModels }: ReportedTask) => outputModels.map(({ id }) => id);

  test('removes the older way back first, then makes the former model the way back', () => {
    const models = modelsOf([kept, 'production'], [former, 'production'], [oldest, 'production-previous']);
    expect(planRemoval([kept, former, oldest], models, TAGS, { kept, former: former.id })).toEqual([
      { task: oldest.id, models: idOf(oldest), add: [], remove: ['production-previous'] },
      { task: former.id, models: idOf(former), add: ['production-previous'], remove: ['production'] },
    ]);
  });

  test('does nothing where there is nothing to take, and leaves the way back', () => {
    const models = modelsOf([kept, 'production'], [oldest, 'production-previous']);
    expect(planRemoval([kept, oldest], models, TAGS, { kept, former: undefined })).toEqual([]);
  });

  test('leaves models that do not carry it, and one that the kept task has too', () => {
    const sharing = { ...former, outputModels: [...former.outputModels, ...kept.outputModels] };
    const models = modelsOf([kept, 'production'], [former]);
    expect(planRemoval([kept, sharing], models, TAGS, { kept, former: sharing.id })).toEqual([
      { task: former.id, models: [], add: ['production-previous'], remove: ['production'] },
    ]);
  });
});

test.each<[string, ReadonlyArray<Partial<ReportedTask>>, string]>([
  ['completed', [{}, { status: 'published' }], 'completed'],
  ['one that goes on', [{}, { status: 'in_progress' }], 'pending'],
  ['one that failed, whatever goes on', [{ status: 'queued' }, { status: 'failed' }], 'failed'],
  ['one that was stopped', [{ status: 'stopped' }], 'failed'],
  ['one that was taken out of its queue', [{ status: 'created', queueId: 'q' }], 'failed'],
  ['a draft', [{ status: 'created' }], 'pending'],
])('the state of tasks: %s', (_, tasks, state) => {
  expect(decideState(tasks.map((fields) => makeTask('a', fields)))).toBe(state);
});
