/** What GitHub tells of a repository and of whom it answers. */
export interface RepositoryAccess {
  readonly isPrivate: boolean;
  readonly isArchived: boolean;
  /** What the token's user may do. For an app, a job's token included, GitHub says that it may not even read. */
  readonly role: { readonly pull: boolean; readonly push: boolean } | undefined;
  /** Scopes of a classic personal token or an OAuth app's; undefined for tokens of other kinds. */
  readonly scopes: readonly string[] | undefined;
}

/** Whether a token may do something, and how that is known; undefined: GitHub does not tell. */
export interface Right {
  readonly isGranted: boolean | undefined;
  readonly why: string;
}

/** What a report does on GitHub. */
export interface TokenRights {
  /** Comment on pull requests. */
  readonly comment: Right;
  /** Write commit statuses. */
  readonly statuses: Right;
}

/**
 * What a token may do, as far as GitHub tells without a write. Scopes: docs.github.com, "Scopes for OAuth apps". An app's
 * token has no user, so every permission of the repository is false for it; those of a fine-grained token are not told.
 */
export function judgeTokenRights({ isPrivate, isArchived, role, scopes }: RepositoryAccess): TokenRights {
  if (isArchived) {
    const archived = { isGranted: false, why: 'the repository is archived' };
    return { comment: archived, statuses: archived };
  }
  if (role?.pull !== true) {
    const why = (permission: string) =>
      `GitHub does not say what an app's token may do; it needs ${permission}: write`;
    return {
      comment: { isGranted: undefined, why: why('pull-requests') },
      statuses: { isGranted: undefined, why: why('statuses') },
    };
  }
  const allow = (needed: readonly string[], permission: string): Right => {
    if (scopes === undefined)
      return {
        isGranted: undefined,
        why: `GitHub does not say what a fine-grained token may do; it needs ${permission}: write`,
      };
    const held = needed.find((scope) => scopes.includes(scope));
    return held === undefined
      ? { isGranted: false, why: `the token lacks the scope ${needed.at(-1)}` }
      : { isGranted: true, why: `the token has the scope ${held}` };
  };
  const whole = isPrivate ? ['repo'] : ['repo', 'public_repo'];
  return {
    comment: allow(whole, 'pull-requests'),
    statuses: role.push
      ? allow([...whole, 'repo:status'], 'statuses')
      : { isGranted: false, why: "the token's user may not push to the repository" },
  };
}
