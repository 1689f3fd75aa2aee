import type { CodeLocation } from '../github/event.ts';

/**
 * Who uses a task: a pull request's number, a push to a `branch`, a merge `queue`, or a launch by `hand` (dispatches and
 * schedules too).
 */
export type User = number | 'branch' | 'hand' | 'queue';

/** What a task's script names. */
export type ScriptCode = { readonly [Name in keyof CodeLocation]: string | undefined };

const KEY = /^ci_use_(\d+|branch|hand|queue)$/;
const VALUE = /^([0-9a-f]{40,64}) (\S+) (\S+)$/;

/** The user that a launch is for. */
export function toUser(run: {
  readonly pullRequest: number | undefined;
  readonly eventName: string | undefined;
}): User {
  if (run.pullRequest !== undefined) return run.pullRequest;
  return run.eventName === 'push' ? 'branch' : run.eventName === 'merge_group' ? 'queue' : 'hand';
}

/** The key in `runtime` under which a task keeps what this user's launch named: `ci_use_7`. */
export function keyOfUse(user: User): string {
  return `ci_use_${user}`;
}

/** The value under that key. */
export function formatUse({ commit, branch, cloneUrl }: CodeLocation): string {
  return `${commit} ${branch} ${cloneUrl}`;
}

/** The users that a task's `runtime` names, with the code they want; undefined where that can't be read. */
export function listUses(runtime: Readonly<Record<string, string>>): Map<User, CodeLocation | undefined> {
  return new Map(
    Object.entries(runtime).flatMap(([key, value]): Array<[User, CodeLocation | undefined]> => {
      const name = KEY.exec(key)?.[1];
      if (name === undefined) return [];
      const [, commit, branch, cloneUrl] = VALUE.exec(value) ?? [];
      const isRead = commit !== undefined && branch !== undefined && cloneUrl !== undefined;
      const user = /^\d/.test(name) ? Number(name) : (name as User);
      return [[user, isRead ? { commit, branch, cloneUrl } : undefined]];
    }),
  );
}

/** How long a user's commit is likely to stay on a branch: a pull request's goes when it is rebased or merged. */
function rankUser(user: User): number {
  return user === 'branch' ? 2 : user === 'queue' ? 0 : 1;
}

/** Whether a waiting task is to train this user's commit from now on, whoever else uses it. */
export function mayChooseCode(user: User, runtime: Readonly<Record<string, string>>): boolean {
  return [...listUses(runtime).keys()].every((other) => rankUser(other) <= rankUser(user));
}

/** The code that a waiting task is to train once a user has given it up: what it trains now where a user wants that. */
export function chooseCode(
  runtime: Readonly<Record<string, string>>,
  now: ScriptCode,
): CodeLocation | undefined {
  const wanted = [...listUses(runtime)]
    .sort(([a], [b]) => rankUser(b) - rankUser(a))
    .flatMap(([, code]) => code ?? []);
  return wanted.find((code) => isSameCode(code, now)) ?? wanted[0];
}

/** Whether an agent would fetch the same commit from the same place. */
export function isSameCode(a: ScriptCode, b: ScriptCode): boolean {
  return a.commit === b.commit && a.branch === b.branch && a.cloneUrl === b.cloneUrl;
}
