import type { GithubClient, PullRequestState } from '../../github/client.ts';
import type { Config } from '../../shell/config.ts';
import { parseConfigText } from '../../shell/config-file.ts';
import type { Due } from '../../training/due.ts';
import { parseBaseline } from '../baseline/rules.ts';
import { chooseSources, type Options } from '../options.ts';
import type { DueEntry } from './entries.ts';

/** What is known of an entry. */
export interface DueSubject {
  readonly entry: DueEntry;
  /** The launch's note; undefined if its tasks have none. */
  readonly launched: Due | undefined;
  /** Undefined without a pull request or a token. */
  readonly pull: PullRequestState | undefined;
  /** How many of the launch's trainings are gone, where the others are over. */
  readonly missing: number;
  /** The settings file of this very run, relative to the repository's root: for tasks without a note. */
  readonly settingsPath: string | undefined;
}

/** Whether the pull request has another commit by now: its comment tells of that one. */
export function isPast({ entry, pull }: DueSubject): boolean {
  return pull !== undefined && pull.headCommit !== entry.commit;
}

/**
 * Whether a branch of the repository, or the merge queue's own, holds the commit of an entry without a pull request. A training
 * may have forged the note, so as to be judged by the settings of a fork's commit.
 */
export async function isPushed(
  { entry: { commit, pullRequest }, launched }: DueSubject,
  host: GithubClient | undefined,
): Promise<boolean> {
  if (pullRequest !== undefined || host === undefined) return true;
  const { branch = '' } = launched?.base ?? {};
  for (const name of new Set([branch, nameTarget(branch)])) {
    const found = name === '' ? undefined : await host.compareCommits(name, commit);
    if (found?.mergeBase === commit) return true;
  }
  return false;
}

/** The options with which the job that launched would have reported, had it waited. */
export async function aimAt(
  subject: DueSubject,
  host: GithubClient | undefined,
  options: Options,
): Promise<Options> {
  const { entry, launched, missing, pull } = subject;
  const { flags, github, target } = options;
  const { commit, pullRequest: number, taskIds } = entry;
  const base = launched?.base && (await locateBase(launched.base, commit, host));
  const baseBranch = pull?.baseBranch ?? base?.branch;
  const config = await readTrainedSettings(subject, baseBranch, host, options);
  const { repository } = target;
  const isCommented = number !== undefined && repository !== undefined && !isPast(subject);
  return {
    ...options,
    config,
    // The exit code and the summary are those of the whole run.
    flags: { ...flags, gate: false, summary: false },
    github: {
      ...github,
      pullRequest: number,
      eventPullRequest: number,
      closedBase: pull?.isClosed === true ? { branch: pull.baseBranch, commit: pull.baseCommit } : undefined,
      baseBranch,
      // A merge group's commit is on the branch too by now, if it was merged.
      push: base && { branch: base.branch, commit, previous: base.previous },
      eventName: base?.event ?? 'pull_request',
      action: undefined,
      // No summary of this run holds the whole report.
      runId: undefined,
    },
    target: { ...target, commit, pullRequest: isCommented ? { repository, number } : undefined },
    sources: chooseSources(config, flags.baseline === undefined ? undefined : parseBaseline(flags.baseline), {
      taskIds,
      expected:
        baseBranch === undefined
          ? undefined
          : {
              baseBranch,
              headCommit: commit,
              headBranch: undefined,
              isQueued: base?.event === 'merge_group',
            },
      pullRequest: number,
      settingsPath: base?.event === 'push' ? undefined : findSettingsPath(subject),
    }),
    due: undefined,
    launched,
    missing,
  };
}

/** GitHub names a merge queue's branch after the one that it merges into (docs.github.com, "Managing a merge queue"). */
const QUEUE_BRANCH = /^gh-readonly-queue\/(.+)\/pr-\d+(?:-[^/]*)?$/;

/** What a merge queue's branch is to be merged into; any other branch itself. */
function nameTarget(branch: string): string {
  return QUEUE_BRANCH.exec(branch)?.[1] ?? branch;
}

/** The branch that a push was made to, or that a merge queue merges into, and its commit before that: the first parent. */
async function locateBase(
  base: NonNullable<Due['base']>,
  commit: string,
  host: GithubClient | undefined,
): Promise<NonNullable<Due['base']>> {
  if (base.event === 'push') return base;
  const [own] = (await host?.listCommits(commit)) ?? [];
  return { ...base, branch: nameTarget(base.branch), previous: own?.parents[0] };
}

/** Not as a training may have forged it: GitHub's API would follow `..` out of the repository. */
function findSettingsPath({ launched, settingsPath }: DueSubject): string | undefined {
  const path = launched === undefined ? settingsPath : launched.settings;
  const isInside = path?.split('/').every((part) => part !== '' && part !== '.' && part !== '..') === true;
  return isInside ? path : undefined;
}

/**
 * The settings of the commit that was trained, which its checkout would have. A fork's pull request has those of the base
 * branch, as a run by hand does, and so has a commit that GitHub does not know any more.
 */
async function readTrainedSettings(
  subject: DueSubject,
  branch: string | undefined,
  host: GithubClient | undefined,
  options: Options,
): Promise<Config> {
  const { entry, pull } = subject;
  const path = findSettingsPath(subject);
  if (host === undefined || path === undefined) return options.config;
  const read = async (ref: string): Promise<Config | undefined> => {
    const text = await host.readFile(path, ref);
    return text === undefined ? undefined : parseConfigText(`${path} of ${ref}`, text);
  };
  if (pull?.isFork !== true) {
    const config = await read(entry.commit);
    if (config !== undefined) return config;
    if (branch === undefined || (await host.readTree(entry.commit)) !== undefined) return {};
  }
  return (branch === undefined ? undefined : await read(branch)) ?? {};
}
