import { randomBytes } from 'node:crypto';
import { notFound, Refusal } from './github-refusal.ts';

export type PermissionName = 'contents' | 'issues' | 'pull-requests' | 'statuses';

export type Permissions = Readonly<Partial<Record<PermissionName, 'read' | 'write'>>>;

export type UserRole = 'admin' | 'maintain' | 'write' | 'triage' | 'read';

/** Whether a role lets one push. */
export function isPusher(role: UserRole): boolean {
  return role !== 'triage' && role !== 'read';
}

/** Whom a token belongs to. A job's token has permissions, a person's a role in the repository. */
export type TokenHolder =
  | {
      readonly kind: 'job';
      readonly login: string;
      readonly permissions: Permissions;
    }
  | {
      readonly kind: 'user';
      readonly login: string;
      readonly role: UserRole;
      /** Of a classic token, which every answer lists; those of a fine-grained one are told nobody. */
      readonly scopes: readonly string[] | undefined;
    };

/** What an operation asks of a job's token: one of the permissions, at least at the level. */
export interface Need {
  readonly anyOf: readonly PermissionName[];
  readonly level: 'read' | 'write';
}

/** A token's requests in the present hour; `reset` is in seconds since 1970. */
export interface RateLimit {
  readonly limit: number;
  readonly remaining: number;
  readonly reset: number;
  readonly used: number;
}

const HOUR_MS = 3_600_000;

const NEEDS: Readonly<Record<string, Need>> = {
  'issues/list-comments': { anyOf: ['issues', 'pull-requests'], level: 'read' },
  'issues/get-comment': { anyOf: ['issues', 'pull-requests'], level: 'read' },
  'issues/create-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  'issues/update-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  'issues/delete-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  // Of a comment on a pull request, whatever the page says (github.com/NOFireAI/ravel/pull/347, eneo-ai/eneo/pull/512).
  'reactions/create-for-issue-comment': { anyOf: ['pull-requests'], level: 'write' },
  'pulls/list': { anyOf: ['pull-requests'], level: 'read' },
  'pulls/get': { anyOf: ['pull-requests'], level: 'read' },
  'repos/list-pull-requests-associated-with-commit': { anyOf: ['pull-requests'], level: 'read' },
  'repos/list-commits': { anyOf: ['contents'], level: 'read' },
  'repos/get-commit': { anyOf: ['contents'], level: 'read' },
  'repos/compare-commits-with-basehead': { anyOf: ['contents'], level: 'read' },
  'repos/get-branch': { anyOf: ['contents'], level: 'read' },
  'repos/get-content': { anyOf: ['contents'], level: 'read' },
  'git/get-commit': { anyOf: ['contents'], level: 'read' },
  'repos/create-commit-status': { anyOf: ['statuses'], level: 'write' },
  'repos/list-commit-statuses-for-ref': { anyOf: ['statuses'], level: 'read' },
  'repos/get-combined-status-for-ref': { anyOf: ['statuses'], level: 'read' },
};

/** What a job's token needs for an operation; `undefined` where every token may. */
export function needOf(operationId: string): Need | undefined {
  return NEEDS[operationId];
}

/** Throws GitHub's refusal where the holder may not do the operation. */
export function checkPermission(operationId: string, holder: TokenHolder, isPrivate: boolean): void {
  const need = NEEDS[operationId];
  if (need === undefined) return;
  const isRead = need.level === 'read';
  // What is public can be read with any token.
  if (isRead && !isPrivate) return;
  if (holder.kind === 'user') {
    // Everybody may comment on a public repository; a status is for those who may push.
    const isOpenToAll = !need.anyOf.includes('statuses');
    if (!isRead && !isPusher(holder.role) && !isOpenToAll) throw notFound();
    return;
  }
  const isGranted = need.anyOf.some((name) => {
    const level = holder.permissions[name];
    return level === 'write' || (isRead && level === 'read');
  });
  if (!isGranted) throw new Refusal(403, 'Resource not accessible by integration');
}

/**
 * A token's text. Those of apps, a job's among them, are a JWT of about 520 characters on github.com since May 2026, of varying length and
 * with dots; on GitHub Enterprise Server they stay as short as a person's.
 */
function createTokenText(prefix: string, isLong: boolean): string {
  if (!isLong) return `${prefix}_${randomBytes(18).toString('hex')}`;
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = part({ alg: 'RS256', typ: 'JWT', kid: randomBytes(8).toString('hex') });
  const claims = part({ jti: randomBytes(16 + ((randomBytes(1)[0] ?? 0) % 16)).toString('hex') });
  return `${prefix}_${header}.${claims}.${randomBytes(256).toString('base64url')}`;
}

/** The tokens that the sandbox gave out, and how many requests each has left. */
export interface TokenBook {
  /** Makes a token with the prefix of its kind (`ghs` for a job's, `ghp` for a person's). */
  add(prefix: string, holder: TokenHolder): string;
  find(token: string): TokenHolder | undefined;
  /** GitHub ignores case in a login. */
  findUser(login: string): (TokenHolder & { kind: 'user' }) | undefined;
  limitOf(token: string): RateLimit;
  /** Counts a request. */
  spend(token: string): void;
}

export function createTokenBook(
  requestsPerHour: number,
  now: () => number,
  hasLongAppTokens: boolean,
): TokenBook {
  const holders = new Map<string, TokenHolder>();
  const windows = new Map<string, { count: number; resetMs: number }>();
  const windowOf = (token: string): { count: number; resetMs: number } => {
    const present = windows.get(token);
    if (present !== undefined && now() < present.resetMs) return present;
    const next = { count: 0, resetMs: now() + HOUR_MS };
    windows.set(token, next);
    return next;
  };
  return {
    add(prefix, holder) {
      const token = createTokenText(prefix, hasLongAppTokens && holder.kind === 'job');
      holders.set(token, holder);
      return token;
    },
    find: (token) => holders.get(token),
    findUser(login) {
      for (const holder of holders.values())
        if (holder.kind === 'user' && holder.login.toLowerCase() === login.toLowerCase()) return holder;
      return undefined;
    },
    limitOf(token) {
      const { count, resetMs } = windowOf(token);
      const used = Math.min(count, requestsPerHour);
      return {
        limit: requestsPerHour,
        remaining: requestsPerHour - used,
        reset: Math.ceil(resetMs / 1000),
        used,
      };
    },
    spend(token) {
      windowOf(token).count += 1;
    },
  };
}

/** What a repository's document says of whom it is for. Of a job or another app it says that it may do nothing. */
export function listRepositoryPermissions(holder: TokenHolder) {
  const { role } = holder.kind === 'user' ? holder : { role: undefined };
  const push = role !== undefined && isPusher(role);
  const admin = role === 'admin';
  return {
    admin,
    maintain: admin || role === 'maintain',
    push,
    triage: push || role === 'triage',
    pull: role !== undefined,
  };
}
