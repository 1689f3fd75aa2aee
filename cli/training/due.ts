import { isRecord, parseJson } from '../shell/json.ts';
import { isStatusContext } from '../shell/status-context.ts';
import { isTaskId } from './task.ts';

// What is due: trainings that no job waits for. The launch notes it in a task's `runtime` for each pull request apart. Once
// a task has ended the server takes no notes but tags, so a tag says that the final state was reported.

/** Whom a report is due to: a pull request's number, or the commit that a push or a merge queue made. */
export type DueTo = number | string;

/** What the collecting workflow needs to know of a launch that nobody waits for. */
export interface Due {
  readonly to: DueTo;
  /** The commit that was launched: 40 or 64 hexadecimal digits. Its status tells the verdict. */
  readonly commit: string;
  /** Drawn by the launch: its tasks, all seeds, are reported together. */
  readonly launch: string;
  /** How many tasks the launch handed out. Those that had ended already carry no note. */
  readonly count: number;
  /** The tag of the launch's seeds: a training may replace its own tags. Undefined without seeds. */
  readonly seedsTag?: string | undefined;
  /** Ids of the seeds that had ended when the launch looked, and were reused. */
  readonly reused?: readonly string[] | undefined;
  /** GITHUB_RUN_ID of the launch's run; undefined outside Actions. */
  readonly runId: string | undefined;
  /** Of a push or a merge group: its event, branch, and the branch's commit before it. */
  readonly base:
    | {
        readonly event: 'push' | 'merge_group';
        readonly branch: string;
        readonly previous: string | undefined;
      }
    | undefined;
  /** When it was launched, ms since 1970, by the server's clock. */
  readonly atMs: number;
  /** The time-outs in ms. */
  readonly timeoutMs: number;
  readonly queueTimeoutMs: number;
  /** How often a task whose worker was lost is enqueued again. */
  readonly retries: number;
  /** The settings file, relative to the repository's root; undefined if it lies outside. */
  readonly settings: string | undefined;
  /** The context of the commit status, as the launch knew it; undefined for none. */
  readonly context: string | undefined;
  /** Whether a job would have waited, but for `detach`. */
  readonly isDetached: boolean;
}

/** The tag that the seeds of one training share. */
export const SEEDS_TAG = /^seeds:[0-9a-f]+$/;

const KEY = /^ci_due_([1-9]\d{0,9}|[0-9a-f]{40}|[0-9a-f]{64})$/;

/** The key in `runtime` under which a task keeps what is due: `ci_due_7`, or `ci_due_COMMIT`. */
export function keyOfDue(to: DueTo): string {
  return `ci_due_${to}`;
}

/** The value under that key. */
export function formatDue({ to: _to, ...due }: Due): string {
  return JSON.stringify(due);
}

/** All that a task's `runtime` says is due, reported or not. What can't be read is left out: a training can write it too. */
export function listDues(runtime: Readonly<Record<string, string>>): Due[] {
  return Object.entries(runtime).flatMap(([key, value]) => {
    const name = KEY.exec(key)?.[1];
    const due = name === undefined ? undefined : readDue(toDueTo(name), parseJson(value));
    return due ?? [];
  });
}

/** What is due and was not reported yet. */
export function listOpenDues(task: {
  readonly runtime: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
}): Due[] {
  if (task.tags.includes(REPORTED_TAG)) return [];
  return listDues(task.runtime).filter(({ to }) => !task.tags.includes(tagReported(to)));
}

/** The tag of an ended task of which nothing is due any more: no query for what is due finds it. */
export const REPORTED_TAG = 'ci-reported';

/** The tag that says that the final state was reported there. */
export function tagReported(to: DueTo): string {
  return `${REPORTED_TAG}:${to}`;
}

/** Whether a tag says that something was reported. */
export function isReportedTag(tag: string): boolean {
  return tag === REPORTED_TAG || tag.startsWith(`${REPORTED_TAG}:`);
}

function toDueTo(name: string): DueTo {
  return name.length < 40 ? Number(name) : name;
}

function readDue(to: DueTo, value: unknown): Due | undefined {
  if (!isRecord(value)) return undefined;
  const { commit, launch, count, runId, base, atMs, timeoutMs, queueTimeoutMs, retries } = value;
  const { settings, context, isDetached, seedsTag, reused } = value;
  if (typeof commit !== 'string' || !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit)) return undefined;
  if (typeof to === 'string' && to !== commit) return undefined;
  if (typeof launch !== 'string' || launch === '') return undefined;
  const numbers = [count, atMs, timeoutMs, queueTimeoutMs];
  if (!numbers.every((number) => typeof number === 'number' && Number.isFinite(number) && number > 0))
    return undefined;
  if (!Number.isSafeInteger(count)) return undefined;
  const [total, launchedMs, runLimitMs, queueLimitMs] = numbers as [number, number, number, number];
  const source = readBase(base);
  if ((typeof to === 'string') !== (source !== undefined)) return undefined;
  return {
    to,
    commit,
    launch,
    count: total,
    seedsTag: isText(seedsTag) && SEEDS_TAG.test(seedsTag) ? seedsTag : undefined,
    reused: Array.isArray(reused)
      ? reused.filter((id: unknown): id is string => typeof id === 'string' && isTaskId(id))
      : undefined,
    runId: isText(runId) ? runId : undefined,
    base: source,
    atMs: launchedMs,
    timeoutMs: runLimitMs,
    queueTimeoutMs: queueLimitMs,
    retries: typeof retries === 'number' && retries > 0 ? retries : 0,
    settings: isText(settings) ? settings : undefined,
    context: isText(context) && isStatusContext(context) ? context : undefined,
    isDetached: isDetached === true,
  };
}

function readBase(value: unknown): Due['base'] {
  if (!isRecord(value)) return undefined;
  const { event, branch, previous } = value;
  if ((event !== 'push' && event !== 'merge_group') || !isText(branch)) return undefined;
  return { event, branch, previous: isText(previous) ? previous : undefined };
}

/** One line without halves of characters: no address can hold one, and Octokit throws. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !/[\p{Cc}\p{Cs}]/u.test(value);
}
