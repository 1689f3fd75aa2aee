import { isUsedByPullRequest, type PullRequestTasks } from './ownership.ts';
import { RUNTIME_KEYS, wasTakenBack } from './task.ts';
import { keyOfUse } from './uses.ts';

/** What tells whether a task is the newest of a pull request. */
export type Candidate = Parameters<typeof wasTakenBack>[0] & {
  readonly id: string;
  /** ms since 1970 */
  readonly createdAtMs: number | undefined;
  readonly tags: readonly string[];
  readonly runtime: Readonly<Record<string, string>>;
  readonly commit: string | undefined;
};

/**
 * The newest tasks of a pull request and pipeline: those of one launch, all seeds, oldest first. Each leg of a matrix has
 * its own. Those of the head commit are newer than any other.
 */
export function chooseNewestTasks(
  tasks: readonly Candidate[],
  of: PullRequestTasks,
  headCommit: string | undefined,
): string[][] {
  const ours = tasks.filter(
    (task) =>
      task.runtime[RUNTIME_KEYS.pipeline] === of.pipeline && isUsedByPullRequest(task, of.pullRequest),
  );
  const commitOf = (task: Candidate) => nameUse(task, of.pullRequest)?.split(' ')[0] ?? task.commit;
  return chooseNewestLaunches(ours, commitOf, headCommit);
}

/**
 * The tasks of the newest launch of each leg, oldest first; those of the head commit are newer than any other.
 *
 * @param commitOf the commit that a task was launched for
 */
export function chooseNewestLaunches(
  ours: readonly Candidate[],
  commitOf: (task: Candidate) => string | undefined,
  headCommit: string | undefined,
): string[][] {
  // A draft that was never queued is left over from launches at the same time.
  const real = ours.filter((task) => task.status !== 'created' || wasTakenBack(task));
  const legs = new Map<string, Candidate[]>();
  for (const task of [...(real.length > 0 ? real : ours)].sort(compareAge)) {
    const leg = task.runtime[RUNTIME_KEYS.leg] ?? '';
    legs.set(leg, [...(legs.get(leg) ?? []), task]);
  }
  return [...legs.values()].map((leg) => {
    const current = leg.filter((task) => headCommit !== undefined && commitOf(task) === headCommit);
    const pool = current.length > 0 ? current : leg;
    const [newest] = pool;
    const together = pool.filter(
      (task) => commitOf(task) === (newest && commitOf(newest)) && isOfOneLaunch(task, newest),
    );
    const keys = together.map(({ id, runtime }) => runtime[RUNTIME_KEYS.key] ?? id);
    // The same training may have been repeated.
    return together
      .filter((_, index) => keys.indexOf(keys[index] ?? '') === index)
      .map(({ id }) => id)
      .reverse();
  });
}

function compareAge(a: Candidate, b: Candidate): number {
  return (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0) || (a.id < b.id ? 1 : -1);
}

/** `COMMIT BRANCH URL` of the pull request that has reused the task. */
function nameUse({ runtime }: Candidate, pullRequest: number): string | undefined {
  return runtime[keyOfUse(pullRequest)];
}

/** A launch marks its tasks, and with seeds also those that it reuses. */
function isOfOneLaunch(task: Candidate, other: Candidate | undefined): boolean {
  if (other === undefined || task === other) return true;
  const launch = task.runtime[RUNTIME_KEYS.launch];
  if (launch !== undefined && launch === other.runtime[RUNTIME_KEYS.launch]) return true;
  return task.tags.some((tag) => tag.startsWith('seeds:') && other.tags.includes(tag));
}
