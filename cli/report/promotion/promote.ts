import type { MetricJudgement } from '../../gate/data.ts';
import type { Ancestor } from '../../github/client.ts';
import { EXIT_CODES, Failure, failUsage } from '../../shell/failure.ts';
import { namePromotionTags, type PromotionTags } from '../../training/names.ts';
import { formatTaskUrl, isSuccess, RUNTIME_KEYS } from '../../training/task.ts';
import type { Connection } from '../connection.ts';
import { hasGate } from '../gate-input.ts';
import type { Options } from '../options.ts';
import { hashOwnPipeline } from '../posting/comment-key.ts';
import type { Report } from '../report.ts';
import type { ReportedTask } from '../reported-task.ts';
import type { ReportSources } from '../sources.ts';
import {
  decideState,
  type FoundModel,
  findModel,
  findPlace,
  isOwn,
  isTrainedFor,
  listHolders,
  type PromotionReason,
  type PushedCommit,
  pickNewest,
  planRemoval,
  sortBySeed,
  wasProduction,
} from './decide.ts';
import { judgePromotion } from './judge.ts';
import { createPromotionServer, type PromotionServer } from './server.ts';

/** What became of a promotion; null for what is unknown or not so. */
export interface Promotion {
  /** The settings' tag; null without the setting. */
  readonly tag: string | null;
  /** The first seed's model is the one that carries the tag now. */
  readonly promoted: boolean;
  readonly reason: PromotionReason;
  /** What was pushed; null by hand. */
  readonly commit: string | null;
  readonly branch: string | null;
  readonly task: { readonly id: string; readonly url: string } | null;
  readonly model: { readonly id: string; readonly url: string | null } | null;
  /** Whether the settings had the model published. */
  readonly published: boolean;
  /** The task that carried the tag before, or still does where nothing moved. */
  readonly former: { readonly id: string; readonly url: string; readonly commit: string | null } | null;
  /** What the gate judged against that task. */
  readonly metrics: readonly MetricJudgement[];
}

/** What a promotion is decided with. */
export interface PromotionQuestion {
  readonly options: Options;
  readonly connection: Connection;
  /** Whose tasks these are; undefined where a person names a task, which then neither gate nor order keep back. */
  readonly pushed: PushedCommit | undefined;
}

/** The tagged tasks with their models, as ClearML has them now. */
interface Look {
  readonly tagged: readonly ReportedTask[];
  readonly models: ReadonlyMap<string, FoundModel>;
  readonly holders: readonly ReportedTask[];
}

/** A promotion under way. */
interface Work extends PromotionQuestion {
  readonly server: PromotionServer;
  readonly tags: PromotionTags;
  readonly pipeline: string;
  readonly candidate: ReportedTask;
  /** The branch's commits, newest first; undefined by hand. */
  listed: readonly Ancestor[] | undefined;
  /** What carried the tag at first. */
  former: ReportedTask | undefined;
}

/** What was decided, and about what. */
interface Outcome {
  readonly reason: PromotionReason;
  readonly former?: ReportedTask | undefined;
  readonly metrics?: readonly MetricJudgement[];
}

/**
 * Moves the settings' tag to the first seed's model, if that is right: on a push the gate judges it, and a newer commit's
 * model stays. The tag is added before it is taken away, so there is always a production model.
 *
 * @throws Failure (usage) if a person names a task that can't be promoted; or what a service answered, then nothing moved
 *   or the next run finishes it
 */
export async function promote(
  report: Report,
  sources: ReportSources,
  question: PromotionQuestion,
): Promise<Promotion> {
  const { options, connection, pushed } = question;
  const setting = options.config.promote;
  const [candidate] = pushed === undefined ? sources.tasks : sortBySeed(sources.tasks, options);
  if (candidate === undefined) throw new Error('there is no task to promote');
  const tell = (outcome: Outcome) => describe(report, candidate, question, outcome);
  if (setting === undefined) return tell({ reason: 'off' });
  const early = await decideEarly(candidate, sources, question);
  if (early !== undefined) return tell({ reason: early });
  const work: Work = {
    ...question,
    server: createPromotionServer(connection.wires.clearml, connection.wires.signal),
    tags: namePromotionTags(setting.tag),
    pipeline: candidate.runtime[RUNTIME_KEYS.pipeline] ?? '',
    candidate,
    listed: undefined,
    former: undefined,
  };
  return tell(await decideAndMove(sources, work));
}

/** What keeps the tasks back before any look at what carries the tag. */
async function decideEarly(
  candidate: ReportedTask,
  { tasks }: ReportSources,
  { options, connection, pushed }: PromotionQuestion,
): Promise<PromotionReason | undefined> {
  if (pushed === undefined) {
    await checkByHand(candidate, options);
  } else {
    if (!tasks.every(isOwn)) return 'other-code';
    const isNamed = tasks.every((task) => isTrainedFor(task, pushed, undefined));
    const tree = isNamed ? undefined : await (await connection.wires.github)?.readTree(pushed.commit);
    if (!isNamed && !tasks.every((task) => isTrainedFor(task, pushed, tree))) return 'other-code';
    const state = decideState(tasks);
    if (state !== 'completed') return state;
    if (candidate.isArchived) return 'archived';
  }
  return candidate.outputModels.length === 0 ? 'no-model' : undefined;
}

/** @throws Failure (usage) if the task is not a completed one of the settings' pipeline */
async function checkByHand(task: ReportedTask, options: Options): Promise<void> {
  const refuse = (what: string, remedy: string) => failUsage(`task ${task.id} ${what}`, remedy);
  if (!isOwn(task)) {
    throw refuse(
      'was not launched by launch-training-task, so it is not promoted',
      'A clone has nothing of what the launch noted. Name the original task.',
    );
  }
  if (task.runtime[RUNTIME_KEYS.pipeline] !== (await hashOwnPipeline(options))) {
    throw refuse(
      'belongs to another pipeline than the settings name',
      'Repository, project and task-name must be those that it was launched with: check GITHUB_REPOSITORY (--repo) and the settings file (--config).',
    );
  }
  if (isSuccess(task.status) && !task.isArchived) return;
  throw refuse(
    task.isArchived ? 'is archived' : `is ${task.status}: only a completed one is promoted`,
    'Name a completed or published task.',
  );
}

async function decideAndMove(sources: ReportSources, work: Work): Promise<Outcome> {
  const { candidate, pushed, options } = work;
  const isDry = options.flags.dryRun === true;
  if (pushed !== undefined) {
    if (isDry && work.connection.wires.github === undefined) return { reason: 'dry-run' };
    work.listed = await listBranch(work, pushed.branch);
    if (!work.listed.some(({ commit }) => commit === pushed.commit)) return { reason: 'not-on-branch' };
  }
  const first = await look(work);
  if (findModel(candidate, first.models) === undefined) return { reason: 'no-model' };
  const others = first.holders.filter(({ id }) => id !== candidate.id);
  const former = pickNewest(others, work.listed, pushed?.branch);
  work.former = former;
  const isHolder = first.holders.some(({ id }) => id === candidate.id);
  const verdict = await judge(sources, former, work);
  const outcome: Outcome = { ...verdict, former };
  if (!PROMOTES.has(verdict.reason)) {
    if (former !== undefined && !isDry) await leaveOne(first, former, work);
    return outcome;
  }
  if (isDry) return { ...outcome, reason: 'dry-run' };
  const lost = await moveTag(first, work);
  if (lost !== undefined) return { ...outcome, reason: lost };
  return isHolder && others.length === 0 ? { ...outcome, reason: 'unchanged' } : outcome;
}

/** What promotes a model. */
export const PROMOTES: ReadonlySet<PromotionReason> = new Set([
  'first',
  'not-gated',
  'passed',
  'by-hand',
  'unchanged',
]);

/** @param former what carries the tag now, but for the candidate */
async function judge(
  sources: ReportSources,
  former: ReportedTask | undefined,
  { pushed, listed = [], options, connection }: Work,
): Promise<Outcome> {
  if (pushed === undefined) return { reason: 'by-hand' };
  if (former === undefined) return { reason: 'first' };
  const own = listed.findIndex(({ commit }) => commit === pushed.commit);
  if (findPlace(former, listed, pushed.branch) < own) return { reason: 'older' };
  if (!hasGate(options.sources.rules)) return { reason: 'not-gated' };
  const { verdict, metrics } = await judgePromotion(sources, former, {
    options,
    servers: connection.servers,
  });
  return { reason: verdict, metrics };
}

async function look({ server, pipeline, tags, candidate, listed = [], pushed }: Work): Promise<Look> {
  const { tasks: tagged, models: carriers } = await server.findTagged(pipeline, tags);
  const outputs = [...tagged, candidate].flatMap(({ outputModels }) => outputModels);
  const ours = carriers.filter((model) => tagged.some(({ id }) => id === model.task));
  // Read after the tasks, as they are marked first.
  const models = await server.readModels([...outputs, ...ours].map(({ id }) => id));
  const list = (isOnBranch: (task: ReportedTask) => boolean) => listHolders(tagged, models, tags, isOnBranch);
  if (pushed !== undefined) {
    const { branch } = pushed;
    const isOnBranch = (task: ReportedTask) => findPlace(task, listed, branch) !== Number.POSITIVE_INFINITY;
    return { tagged, models, holders: list(isOnBranch) };
  }
  // By hand no branch tells what was merged, so a pull request's counts only where nothing else does.
  const sure = list(() => false);
  return { tagged, models, holders: sure.length > 0 ? sure : list(() => true) };
}

/** @throws Failure if GitHub can't be asked: the order of commits is unknown then */
async function listBranch({ connection }: Work, branch: string): Promise<readonly Ancestor[]> {
  if (connection.wires.github === undefined) {
    throw new Failure('the order of commits is unknown without GitHub, so nothing was promoted', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Set GH_TOKEN (or GITHUB_TOKEN) and GITHUB_REPOSITORY.',
    });
  }
  return (await connection.wires.github).listCommits(branch);
}

/** So often at most: somebody else may do the same at this moment, and undo it. */
const MAX_LOOKS = 8;

/**
 * Adds the tag to the candidate and its model, then takes it from all others, and looks whether that is so. Whoever does the
 * same at this moment sees both, and both leave the newer commit's model.
 *
 * @returns why the candidate has it not; undefined if it has
 */
async function moveTag(first: Look, work: Work): Promise<'overtaken' | 'no-model' | undefined> {
  const { candidate, pushed, server, tags } = work;
  let now = first;
  for (let looks = 1; looks < MAX_LOOKS; looks += 1) {
    if (findModel(candidate, now.models) === undefined) {
      const change = { add: [], remove: [tags.tag] };
      const models = candidate.outputModels.slice(-1).map(({ id }) => id);
      await server.changeModelTags({ models, ...change });
      await server.changeTaskTags({ task: candidate.id, ...change });
      return 'no-model';
    }
    const others = now.holders.filter(({ id }) => id !== candidate.id);
    if (pushed !== undefined && now !== first && others.some((task) => isUnplaced(task, work)))
      work.listed = await listBranch(work, pushed.branch);
    const all = [candidate, ...others];
    const kept = pushed === undefined ? candidate : pickNewest(all, work.listed, pushed.branch);
    if (kept !== undefined && kept.id !== candidate.id) {
      await leaveOne(now, kept, work);
      return 'overtaken';
    }
    if (others.length === now.holders.length) await addTag(work, now);
    else {
      await publish(work, now);
      if (!(await leaveOne(now, candidate, work))) return undefined;
    }
    now = await look(work);
  }
  // Never none, whoever has taken it away last.
  await addTag(work, now);
  return undefined;
}

/** The list of commits is older than a task that somebody promoted since. */
function isUnplaced(task: ReportedTask, { listed = [], pushed }: Work): boolean {
  return pushed !== undefined && findPlace(task, listed, pushed.branch) === Number.POSITIVE_INFINITY;
}

/** Marks the candidate, then its model. Either may have the mark as last seen, and have lost it since. */
async function addTag({ candidate, server, tags }: Work, { models }: Look): Promise<void> {
  const model = findModel(candidate, models);
  if (model === undefined) return;
  const change = { add: [tags.tag], remove: [tags.previous] };
  await server.changeTaskTags({ task: candidate.id, ...change });
  await server.changeModelTags({ models: [model.id], ...change });
}

async function publish({ candidate, server, options }: Work, { models }: Look): Promise<void> {
  const model = findModel(candidate, models);
  if (options.config.promote?.publish === true && model?.isPublished === false)
    await server.publishModel(model.id);
}

/**
 * Takes the tag from all but one: first from the models, then from the tasks, so that the next run finishes it where this
 * one is interrupted.
 *
 * @returns whether there was any other
 */
async function leaveOne({ tagged, models }: Look, kept: ReportedTask, work: Work): Promise<boolean> {
  const { server, tags, candidate, listed, pushed, former } = work;
  const others = tagged.filter(
    (task) =>
      task.id !== kept.id &&
      task.id !== candidate.id &&
      (task.id === former?.id || wasProduction(task, models, tags)),
  );
  const previous = pickNewest(others, listed, pushed?.branch)?.id;
  // It may have lost the mark on its task already, but not on its model.
  const all = tagged.some(({ id }) => id === candidate.id) ? tagged : [...tagged, candidate];
  const changes = planRemoval(all, models, tags, { kept, former: previous });
  for (const change of changes) {
    await server.changeModelTags(change);
    try {
      await server.changeTaskTags(change);
    } catch (error) {
      // It was deleted meanwhile: it carries nothing any more.
      if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.notFound) throw error;
    }
  }
  return changes.length > 0;
}

/** The outcome as data. */
function describe(
  report: Report,
  candidate: ReportedTask,
  { options, connection, pushed }: PromotionQuestion,
  { reason, former, metrics = [] }: Outcome,
): Promotion {
  const { promote: setting } = options.config;
  const task = report.tasks.find(({ id }) => id === candidate.id);
  const model = task?.outputModels.at(-1);
  const promoted = PROMOTES.has(reason);
  const urlOf = (one: ReportedTask) =>
    formatTaskUrl(options.access.webHost, one, connection.wires.clearml.apiVersion);
  return {
    tag: setting?.tag ?? null,
    promoted,
    reason,
    commit: pushed?.commit ?? null,
    branch: pushed?.branch ?? null,
    task: task === undefined ? null : { id: task.id, url: task.url },
    model: model === undefined ? null : { id: model.id, url: model.url },
    published: promoted && setting?.publish === true,
    former:
      former === undefined
        ? null
        : { id: former.id, url: urlOf(former), commit: former.script.commit ?? null },
    metrics,
  };
}
