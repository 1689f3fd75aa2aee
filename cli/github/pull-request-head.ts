import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createGithubClient } from './client.ts';
import type { CodeLocation, GithubRun } from './event.ts';

const GIVE_UP_MS = 20_000;

/**
 * Asks GitHub where the code of the run's pull request is. A run that is started by hand (`workflow_dispatch` with
 * PR_NUMBER) is told the number alone.
 *
 * @returns undefined where nobody can be asked: no token, or no repository
 * @throws Failure when GitHub does not answer, knows no such pull request, or its repository was deleted
 */
export async function askForPullRequestHead(
  github: GithubRun,
  session: Session,
): Promise<CodeLocation | undefined> {
  const { env, clock, redact, random, interruption: signal } = session;
  const token = env.GH_TOKEN ?? env.GITHUB_TOKEN;
  const { repository, pullRequest } = github;
  if (token === undefined || repository === undefined || pullRequest === undefined) return undefined;
  const giveUpAtMs = clock.now() + GIVE_UP_MS;
  const http = createHttp(env, clock);
  try {
    const client = await createGithubClient({
      apiUrl: github.apiUrl,
      token,
      repository,
      http,
      clock,
      redact,
      random,
      version: readPackageVersion(),
      giveUpAt: () => giveUpAtMs,
      signal,
    });
    const head = await client.locateHead(pullRequest);
    if (head !== undefined) return head;
    throw new Failure('the repository that the pull request comes from was deleted', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Its code cannot be cloned any more: push the branch to another repository and open the pull request again.',
    });
  } finally {
    await http.close();
  }
}
