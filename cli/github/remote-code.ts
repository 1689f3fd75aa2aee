import type { Config } from '../shell/config.ts';
import { parseConfigText } from '../shell/config-file.ts';
import { isActions, readGithubToken, readJobToken } from '../shell/environment.ts';
import { EXIT_CODES, Failure, failUsage, settle } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createLimitWait, createRetryTeller } from '../shell/retry.ts';
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

/** The workflow that reports what nobody waits for. */
export const COLLECTING_WORKFLOW = '.github/workflows/clearml_collect.yml';

/** Whether no job waits for a training, and the settings that say which status tells its verdict. */
export interface Detachment {
  readonly isDetached: boolean;
  readonly settings: Pick<Config, 'status' | 'detach'>;
}

/** What decides it. */
interface Question {
  /** `--detach` or `--no-detach`. */
  readonly flag: boolean | undefined;
  /** The settings of the checkout. */
  readonly config: Config;
  /** Their file, relative to the repository's root. */
  readonly path: string | undefined;
  readonly run: GithubRun;
}

/**
 * Decides whether a job waits: the flag, else in Actions the settings. A pull request's are those of its base branch, so that
 * it cannot switch off what judges it; GitHub is asked for them where its own name `detach` or `status`. Every other event
 * has the base branch's file checked out.
 */
export async function chooseDetachment(question: Question, session: Session): Promise<Detachment> {
  const { flag, config } = question;
  const isAsked = isActions(session.env) && (config.detach !== undefined || config.status !== undefined);
  const settings = isAsked ? await readDecidingSettings(question, session) : config;
  return { isDetached: flag ?? (isActions(session.env) && settings.detach === true), settings };
}

async function readDecidingSettings({ config, path, run }: Question, session: Session): Promise<Config> {
  const { eventPullRequest, baseBranch, repository } = run;
  if (eventPullRequest === undefined || baseBranch === undefined) return config;
  if (repository === undefined || path === undefined) return config;
  try {
    const file = await askGithub(repository, run, session, async (client) => ({
      text: await client.readFile(path, baseBranch),
    }));
    if (file === undefined) throw failUsage('there is no GitHub token', 'Set GH_TOKEN.');
    return file.text === undefined ? config : await parseConfigText(`${path} of ${baseBranch}`, file.text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [problem = ''] = error.message.split('\n');
    session.voice.warn(
      `the settings of ${baseBranch} are unknown, so this branch's own say whether a job waits: ${problem}`,
    );
    return config;
  }
}

/**
 * What is wrong with a launch in Actions that something is due of: nobody will report it. One request to GitHub.
 *
 * @param due `isDetached`: no job waits, else a push's may
 * @returns undefined where nothing is wrong, or where it can't be found out
 */
export async function findCollectingProblem(
  run: GithubRun,
  { isDetached }: { readonly isDetached: boolean },
  session: Session,
): Promise<string | undefined> {
  const { repository, defaultBranch } = run;
  if (!isActions(session.env) || repository === undefined || defaultBranch === undefined) return undefined;
  try {
    const file = await askGithub(repository, run, session, async (client) => ({
      text: await client.readFile(COLLECTING_WORKFLOW, defaultBranch),
    }));
    if (file === undefined || file.text !== undefined) return undefined;
    const lack = `${defaultBranch} has no ${COLLECTING_WORKFLOW}. Copy it there, or switch`;
    return isDetached
      ? `nothing reports this training: ${lack} detach off`
      : `unless a job waits for this training, its commit status stays pending: ${lack} status off`;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [problem = ''] = error.message.split('\n');
    return `it is unknown whether ${defaultBranch} has ${COLLECTING_WORKFLOW}, which reports this training: ${problem}`;
  }
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
      onRetry: createRetryTeller(session.voice.say, session.clock),
      signal,
    });
    return await ask(client);
  } finally {
    await http.close();
  }
}
