import { readGithubToken, readJobToken } from '../shell/environment.ts';
import { EXIT_CODES, settle } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createLimitWait, formatRetry } from '../shell/retry.ts';
import { createGithubClient } from './client.ts';
import type { CodeLocation, GithubRun } from './event.ts';
import { judgeTokenRights, type TokenRights } from './token-rights.ts';

const GIVE_UP_MS = 20_000;

export type GithubClient = Awaited<ReturnType<typeof createGithubClient>>;

/**
 * Asks GitHub for the code of the run's pull request. A run by hand (`workflow_dispatch` with PR_NUMBER) has only the
 * number.
 *
 * @returns undefined without a token or a repository
 * @throws Failure when GitHub does not answer or has no such pull request, or its repository was deleted
 */
export async function askForPullRequestHead(
  github: GithubRun,
  session: Session,
): Promise<CodeLocation | undefined> {
  const { repository, pullRequest } = github;
  if (repository === undefined || pullRequest === undefined) return undefined;
  return askGithub(repository, github, session, (client) => client.locateHead(pullRequest));
}

/**
 * Asks GitHub for the git tree of a commit that is not in the local checkout.
 *
 * @returns undefined without a token, or where the commit's repository is not on this GitHub or has no such commit
 * @throws Failure when GitHub does not answer or refuses
 */
export async function askForTree(
  { cloneUrl, commit }: Pick<CodeLocation, 'cloneUrl' | 'commit'>,
  github: GithubRun,
  session: Session,
): Promise<string | undefined> {
  const repository = identifyOnGithub(cloneUrl, github);
  if (repository === undefined) return undefined;
  return askGithub(repository, github, session, (client) => client.readTree(commit));
}

/**
 * Asks GitHub, in one request a token that changes nothing, what the tokens may do in the repository: the one that
 * comments, and the job's own, which sets the commit status.
 *
 * @param cloneUrl names the repository where the run does not
 * @returns undefined without a token, or where no repository on this GitHub is named
 * @throws Failure when GitHub does not answer, refuses, or does not show the repository to this token
 */
export async function askForTokenRights(
  cloneUrl: string,
  github: GithubRun,
  session: Session,
): Promise<TokenRights | undefined> {
  const repository = github.repository ?? identifyOnGithub(cloneUrl, github);
  if (repository === undefined) return undefined;
  const [token, jobToken] = [readGithubToken(session.env), readJobToken(session.env)];
  const askFor = (as: string | undefined) =>
    askGithub(repository, github, session, async (client) => judgeTokenRights(await client.readAccess()), as);
  if (token === jobToken) return askFor(token);
  const [rights, ofJob] = await Promise.all([askFor(token), settle(askFor(jobToken))]);
  if (rights === undefined) return undefined;
  if ('value' in ofJob) return { ...rights, statuses: ofJob.value?.statuses ?? rights.statuses };
  const { exitCode, message: why } = ofJob.failure;
  return { ...rights, statuses: { isGranted: exitCode === EXIT_CODES.refused ? false : undefined, why } };
}

/** `owner/name`; undefined where the clone URL leads elsewhere. */
function identifyOnGithub(cloneUrl: string, { serverUrl }: GithubRun): string | undefined {
  const [host, ...path] = identifyRepository(cloneUrl).split('/');
  return URL.canParse(serverUrl) && host === new URL(serverUrl).hostname && path.length === 2
    ? path.join('/')
    : undefined;
}

/**
 * Opens GitHub for one question.
 *
 * @returns undefined without a token
 */
export async function askGithub<T>(
  repository: string,
  { apiUrl }: GithubRun,
  session: Session,
  ask: (client: GithubClient) => Promise<T>,
  token = readGithubToken(session.env),
): Promise<T | undefined> {
  const { env, clock, interruption: signal } = session;
  if (token === undefined) return undefined;
  const giveUpAtMs = clock.now() + GIVE_UP_MS;
  const limitWait = createLimitWait();
  const http = createHttp(env, clock);
  try {
    const client = await createGithubClient({
      ...session,
      apiUrl,
      token,
      repository,
      http,
      version: readPackageVersion(),
      giveUpAt: () => giveUpAtMs + limitWait.waitedMs,
      limitWait,
      onRetry: (retry) => session.voice.say(formatRetry(retry)),
      signal,
    });
    return await ask(client);
  } finally {
    await http.close();
  }
}
