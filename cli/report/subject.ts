import type { CodeHost, PullRequest } from '../github/client.ts';
import type { BaselineRule, MetricRule } from '../shell/config.ts';
import { type Settled, settle } from '../shell/failure.ts';
import type { BaselineQuestion } from './baseline/find-baseline.ts';
import { type Histories, openHistories } from './baseline/histories.ts';
import type { SourceServers } from './ports.ts';
import type { ReportSources } from './sources.ts';

/** A file of the base branch; no value if the branch has no such file. */
export interface BaseSettings {
  readonly branch: string;
  readonly file: Settled<string | undefined>;
}

/** What to gather for a report. */
export interface SourceOptions {
  readonly taskIds: readonly string[];
  readonly baselineRules: readonly BaselineRule[];
  readonly seedParam: string;
  /** What the event names; so searches can start before GitHub answers. */
  readonly expected: ExpectedCode | undefined;
  readonly pullRequest: number | undefined;
  /** Only some files decide the result, so the commit's tree does not identify the code. */
  readonly hasPaths: boolean;
  readonly rules: readonly MetricRule[];
  /** The settings file, relative to the repository's root; undefined if it lies outside, or is the branch's own. */
  readonly settingsPath: string | undefined;
}

/** A pull request's base branch and head, as its event names them. */
export interface ExpectedCode {
  readonly baseBranch: string;
  readonly headCommit: string;
  /** undefined if the head is a fork's branch. */
  readonly headBranch: string | undefined;
  /** The head is a merge queue's. */
  readonly isQueued?: boolean;
}

/** What the first answers contain: the tasks and the pull request. */
export interface Subject
  extends Pick<BaselineQuestion, 'found' | 'head' | 'baseBranch' | 'histories'>,
    Pick<ReportSources, 'tasks' | 'pullRequest' | 'failure'> {
  /** Ids of tasks that ClearML does not have. */
  readonly gone: readonly string[];
  readonly baseSettings: Promise<BaseSettings> | undefined;
}

/**
 * Reads the tasks, those that baselines name, and the pull request. If an event names the base branch, its history and
 * settings are read at the same time.
 */
export async function readSubject(options: SourceOptions, servers: SourceServers): Promise<Subject> {
  const { baselineRules, expected, taskIds } = options;
  const { clearml, github } = servers;
  const histories = github === undefined ? undefined : openHistories(github);
  const branches = expected
    ? baselineRules.filter(isBranchRule).map((rule) => rule.branch ?? expected.baseBranch)
    : [];
  if (expected !== undefined) beginSearches(histories, branches, expected.headBranch ?? expected.headCommit);
  const expectedSettings = readBaseSettings(options, servers, expected?.baseBranch);

  const baselineIds = baselineRules.flatMap((rule) => ('task' in rule ? [rule.task] : []));
  const [found, { pull, head }] = await Promise.all([
    clearml.readTasks([...new Set([...taskIds, ...baselineIds])]),
    readPullRequest(options, github, histories, branches),
  ]);
  const tasks = taskIds.flatMap((id) => found.get(id) ?? []);
  const { value: pullRequest, failure } = { value: undefined, failure: undefined, ...pull };
  const baseBranch = pullRequest?.baseBranch ?? expected?.baseBranch;
  return {
    tasks,
    gone: taskIds.filter((id) => !found.has(id)),
    found,
    pullRequest,
    failure,
    head: head ?? pullRequest?.headCommit ?? tasks[0]?.script.commit,
    baseBranch,
    histories,
    // The pull request's base branch may have changed since the event.
    baseSettings:
      baseBranch === expected?.baseBranch ? expectedSettings : readBaseSettings(options, servers, baseBranch),
  };
}

function isBranchRule(
  rule: BaselineRule,
): rule is Exclude<BaselineRule, { readonly task: string } | { readonly tag: string }> {
  return !('task' in rule) && !('tag' in rule);
}

/** Starts the searches whose answers are needed later. */
function beginSearches(histories: Histories | undefined, branches: readonly string[], head: string): void {
  for (const branch of branches)
    if (histories !== undefined) void keepForLater(histories.search(branch, head));
}

/** Keeps a rejection from being reported as unhandled before its promise is awaited. */
function keepForLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/**
 * The pull request as it is now; undefined if GitHub is not asked. If the comparison of the two branches shows that the
 * head is still the event's, GitHub is not asked again.
 *
 * @returns also the head to compare with the base branch; undefined if no event names it
 */
async function readPullRequest(
  { expected, pullRequest: number }: SourceOptions,
  github: Promise<CodeHost> | undefined,
  histories: Histories | undefined,
  branches: readonly string[],
): Promise<{ readonly pull: Settled<PullRequest> | undefined; readonly head: string | undefined }> {
  const head = expected?.headCommit;
  if (github === undefined || number === undefined) return { pull: undefined, head };
  const [branch] = branches;
  if (expected?.headBranch !== undefined && branch !== undefined && histories !== undefined) {
    const { headBranch, headCommit, baseBranch } = expected;
    const found = await histories.search(branch, headBranch);
    if ('value' in found && found.value.comparison?.head.commit === headCommit) {
      return { pull: { value: { headCommit, baseBranch } }, head: headBranch };
    }
    // The branch has moved on or is gone: compare the commit that was trained instead.
    beginSearches(histories, branches, headCommit);
  }
  return { pull: await settle(github.then((host) => host.readPullRequest(number))), head };
}

/**
 * The settings of the base branch as it is now, because they hold after the merge. A pull request from an old commit with
 * a looser gate must show that too.
 */
export function readBaseSettings(
  { settingsPath: path }: SourceOptions,
  { github }: SourceServers,
  branch: string | undefined,
): Promise<BaseSettings> | undefined {
  if (github === undefined || branch === undefined || path === undefined) return undefined;
  const reading = settle(github.then((host) => host.readFile(path, branch)));
  return keepForLater(reading.then((file) => ({ branch, file })));
}
