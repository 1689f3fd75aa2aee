import { readGithubToken } from '../shell/environment.ts';
import { readPackageVersion } from '../shell/files.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createLimitWait, formatRetry } from '../shell/retry.ts';
import { createGithubClient } from './client.ts';
import type { CodeLocation, GithubRun } from './event.ts';

const GIVE_UP_MS = 20_000;

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
  const { env, clock, interruption: signal } = session;
  const token = readGithubToken(env);
  const { repository, pullRequest } = github;
  if (token === undefined || repository === undefined || pullRequest === undefined) return undefined;
  const giveUpAtMs = clock.now() + GIVE_UP_MS;
  const limitWait = createLimitWait();
  const http = createHttp(env, clock);
  try {
    const client = await createGithubClient({
      ...session,
      apiUrl: github.apiUrl,
      token,
      repository,
      http,
      version: readPackageVersion(),
      giveUpAt: () => giveUpAtMs + limitWait.waitedMs,
      limitWait,
      onRetry: (retry) => session.voice.say(formatRetry(retry)),
      signal,
    });
    return await client.locateHead(pullRequest);
  } finally {
    await http.close();
  }
}
