import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { AnswerLost, WRITE_ATTEMPTS, waitAfterLost } from '../shell/retry.ts';
import { ask, GithubRefusal, type GithubWire } from './transport.ts';

const PAGE_SIZE = 100;
/** A commit with more statuses than these pages hold gets one more. */
const MAX_PAGES = 10;

/** The most that GitHub takes. */
export const MAX_DESCRIPTION_LENGTH = 140;

/** A commit status. */
export interface CommitStatus {
  readonly state: 'pending' | 'success' | 'failure' | 'error';
  /** One line of at most 140 characters. */
  readonly description: string;
  readonly targetUrl: string;
}

/** A status that a commit has. */
export interface FoundStatus {
  readonly state: string;
  readonly description: string;
  readonly targetUrl: string;
}

/** The statuses of one context, written with one token. */
export interface StatusBoard {
  /** The commit's newest one that this kind of account wrote; undefined if it has none. */
  findNewest(commit: string): Promise<FoundStatus | undefined>;
  /** @throws Failure (refused) naming the permission, or (usage) why GitHub does not take it */
  write(commit: string, status: CommitStatus): Promise<void>;
}

const StatusesSchema = v.array(
  v.object({
    context: v.string(),
    state: v.string(),
    description: v.nullish(v.string(), ''),
    target_url: v.nullish(v.string(), ''),
    creator: v.nullish(v.object({ type: v.optional(v.string()) })),
  }),
);

/** Opens the statuses of one context. GitHub ignores case in a context. */
export function openStatuses(
  { octokit, owner, repo, token }: StatusPlace,
  context: string,
  {
    clock,
    giveUpAt,
    signal,
  }: Pick<GithubWire, 'clock' | 'giveUpAt'> & { readonly signal?: AbortSignal | undefined },
): StatusBoard {
  const subject = `the commit statuses of ${owner}/${repo}`;
  // A rule may take the status only from the app whose token this is, so a person's does not count as ours.
  const isApp = token.startsWith('ghs_');
  const findNewest = async (commit: string): Promise<FoundStatus | undefined> => {
    for (let page = 1; page <= MAX_PAGES; page += 1) {
      const query = { owner, repo, ref: commit, per_page: PAGE_SIZE, page };
      const { data } = await ask(octokit.repos.listCommitStatusesForRef(query), StatusesSchema, subject);
      const newest = data.find((status) => status.context.toLowerCase() === context.toLowerCase());
      if (newest !== undefined) {
        const { state, description, target_url: targetUrl, creator } = newest;
        return isApp && creator?.type === 'User' ? undefined : { state, description, targetUrl };
      }
      if (data.length < PAGE_SIZE) return undefined;
    }
    return undefined;
  };
  const create = async (commit: string, { state, description, targetUrl }: CommitStatus): Promise<void> => {
    const fields = { owner, repo, sha: commit, context, state, description, target_url: targetUrl };
    // Whatever else answers, as a login page, has written nothing.
    await ask(octokit.repos.createCommitStatus(fields), v.object({ state: v.literal(state) }), subject);
  };
  return {
    findNewest: (commit) =>
      findNewest(commit).catch((error: unknown) => {
        // GitHub says it again, and why, when the status is written.
        if (error instanceof GithubRefusal && [404, 422].includes(error.status)) return undefined;
        throw explainRefusal(error, context);
      }),
    async write(commit, status) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await create(commit, status);
        } catch (error) {
          const isLast = attempt === WRITE_ATTEMPTS || clock.now() >= giveUpAt();
          if (!(error instanceof AnswerLost) || isLast) throw explainRefusal(error, context);
        }
        // Look before the next attempt: it may have been written.
        await waitAfterLost(attempt, { clock, signal });
        const found = await findNewest(commit);
        if (found?.state === status.state && found.description === status.description) return;
      }
    },
  };
}

/** A repository, and the token that writes. */
interface StatusPlace {
  readonly octokit: Octokit;
  readonly owner: string;
  readonly repo: string;
  readonly token: string;
}

/** GitHub answers 404 to an account that may read the repository and not push to it. */
function explainRefusal(error: unknown, context: string): unknown {
  if (!(error instanceof GithubRefusal)) return error;
  const { status, answer } = error;
  if (status !== 403 && status !== 404 && status !== 422) return error;
  const isMaximum = /maximum number of statuses/i.test(answer);
  return new Failure(`GitHub refuses the commit status ${context}: ${answer}`, {
    exitCode: status === 422 ? EXIT_CODES.usage : EXIT_CODES.refused,
    remedy: isMaximum
      ? 'GitHub takes 1,000 statuses of one context on a commit: push another commit.'
      : status === 422
        ? /no commit found/i.test(answer)
          ? 'The commit must be in this repository or in a fork of it: check GITHUB_REPOSITORY (--repo).'
          : 'GitHub probably refuses this name. Choose another, by the setting status or by --status.'
        : /archived/i.test(answer)
          ? 'The repository is archived, so it takes no status: unarchive it (Settings > General > Danger Zone).'
          : "The job's token needs the permission statuses: write: add it under `permissions` of the workflow's job. Pull requests from forks and by Dependabot always get a read-only token.",
    cause: error,
  });
}
