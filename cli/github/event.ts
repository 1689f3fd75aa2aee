import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { Environment } from '../shell/environment.ts';
import { checkAll, type Failure, failUsage, readErrorCode } from '../shell/failure.ts';
import { readServerUrl } from './run-url.ts';

/** The workflow run, by its variables and event file. */
export interface GithubRun {
  /** `owner/name` of the repository whose workflow runs. */
  readonly repository: string | undefined;
  readonly pullRequest: number | undefined;
  /** The event's own pull request, whatever PR_NUMBER says. */
  readonly eventPullRequest: number | undefined;
  /** Of a closed pull request: the base branch's commit without it. After a merge the branch itself holds its code. */
  readonly closedBase: { readonly branch: string; readonly commit: string | undefined } | undefined;
  /** The event's code: of a pull request the head, never the merge commit. A failure if it can't be located. */
  readonly code: CodeLocation | Failure | undefined;
  /** The pull request's target branch; on a push the branch itself. */
  readonly baseBranch: string | undefined;
  /** The repository's, as the event names it. */
  readonly defaultBranch: string | undefined;
  /** A push to a branch, with the branch's commit before it; undefined for any other event. */
  readonly push:
    | { readonly branch: string; readonly commit: string; readonly previous: string | undefined }
    | undefined;
  readonly eventName: string | undefined;
  /** The comment of an `issue_comment` event on a pull request. */
  readonly comment: EventComment | undefined;
  /** Of the event: `synchronize`. */
  readonly action: string | undefined;
  readonly runId: string | undefined;
  readonly runAttempt: string | undefined;
  readonly workflow: string | undefined;
  readonly job: string | undefined;
  readonly actor: string | undefined;
  /** No trailing slash. */
  readonly serverUrl: string;
  /** No trailing slash. */
  readonly apiUrl: string;
}

/** A comment on a pull request that started the run. */
export interface EventComment {
  readonly pullRequest: number;
  readonly id: number;
  readonly url: string;
  readonly body: string;
  /** Login; undefined if the account was deleted. */
  readonly author: string | undefined;
  /** An app wrote it. */
  readonly isBot: boolean;
  /** In ms since 1970; NaN if GitHub does not say. */
  readonly createdAtMs: number;
}

/** Where an agent finds a commit: it fetches branches, never a bare commit. */
export interface CodeLocation {
  readonly cloneUrl: string;
  readonly branch: string;
  readonly commit: string;
}

const RepositorySchema = v.object({ clone_url: v.string(), default_branch: v.optional(v.string()) });

const EventSchema = v.object({
  action: v.optional(v.string()),
  repository: v.optional(RepositorySchema),
  pull_request: v.optional(
    v.object({
      number: v.number(),
      head: v.object({ ref: v.string(), sha: v.string(), repo: v.nullish(RepositorySchema) }),
      base: v.object({ ref: v.string(), sha: v.optional(v.string()) }),
      state: v.optional(v.string()),
    }),
  ),
  /** Of issue_comment and similar events on a pull request. */
  issue: v.optional(v.object({ number: v.number(), pull_request: v.optional(v.unknown()) })),
  comment: v.nullish(
    v.object({
      id: v.nullish(v.number(), 0),
      html_url: v.nullish(v.string(), ''),
      body: v.nullish(v.string(), ''),
      created_at: v.nullish(v.string(), ''),
      user: v.nullish(v.object({ login: v.string(), type: v.nullish(v.string()) })),
    }),
  ),
  workflow_run: v.nullish(
    v.object({
      head_sha: v.string(),
      head_branch: v.nullish(v.string()),
      // GitHub sends it without clone_url.
      head_repository: v.nullish(v.object({ html_url: v.string() })),
      // Those of the head's branch, also in other repositories; of a fork's branch none.
      pull_requests: v.nullish(
        v.array(
          v.object({
            number: v.number(),
            base: v.nullish(v.object({ repo: v.nullish(v.object({ url: v.nullish(v.string()) })) })),
          }),
        ),
      ),
    }),
  ),
  /** Head and base of a merge_group event. */
  merge_group: v.optional(v.object({ head_sha: v.string(), head_ref: v.string(), base_ref: v.string() })),
  /** The commit before a push; all zeros for a new branch. */
  before: v.nullish(v.string()),
});

/**
 * Reads the run from the variables and, in Actions, the event.
 *
 * @param event the parsed event file, whose shape is checked here
 * @throws Failure (usage) naming every mistake in PR_NUMBER, GITHUB_REPOSITORY, GITHUB_API_URL and the event
 */
export function readGithubRun(env: Environment, event: unknown): GithubRun {
  const [repository, number, apiUrl, data] = checkAll(
    () => readRepository(env),
    () => readPullRequestNumber(env),
    () => readApiUrl(env),
    () => parseEvent(event),
  );
  return Object.freeze({
    repository,
    pullRequest: number ?? findPullRequest(data, repository),
    eventPullRequest: data?.pull_request?.number,
    closedBase: readClosedBase(data),
    code: locateCode(env, data),
    baseBranch:
      data?.pull_request?.base.ref ??
      data?.merge_group?.base_ref.replace(/^refs\/heads\//, '') ??
      readBranch(env),
    defaultBranch: data?.repository?.default_branch,
    push: readPush(env, data),
    eventName: env.GITHUB_EVENT_NAME,
    comment: readComment(env, data),
    action: data?.action,
    runId: env.GITHUB_RUN_ID,
    runAttempt: env.GITHUB_RUN_ATTEMPT,
    workflow: env.GITHUB_WORKFLOW,
    job: env.GITHUB_JOB,
    actor: env.GITHUB_ACTOR,
    serverUrl: readServerUrl(env),
    apiUrl,
  });
}

/** Whether a variable or the event names a pull request. `readGithubRun` checks whether it is right. */
export function namesPullRequest(env: Environment, event: unknown): boolean {
  const parsed = v.safeParse(EventSchema, event ?? {});
  if (env.PR_NUMBER !== undefined || !parsed.success) return true;
  return findPullRequest(parsed.output, env.GITHUB_REPOSITORY) !== undefined;
}

function parseEvent(event: unknown): Event | undefined {
  if (event === undefined) return undefined;
  const parsed = v.safeParse(EventSchema, event);
  if (parsed.success) return parsed.output;
  const place = v.getDotPath(parsed.issues[0]) ?? 'root';
  throw failUsage(`the event file does not look like GitHub's (${place})`, EVENT_FILE_REMEDY);
}

const EVENT_FILE_REMEDY =
  'The runner sets GITHUB_EVENT_PATH. Outside Actions, leave it out or set it to an event file from GitHub.';

/** The event's pull request, also where GitHub sends it as an issue or as the one whose run has ended. */
function findPullRequest(event: Event | undefined, repository: string | undefined): number | undefined {
  if (event?.pull_request !== undefined) return event.pull_request.number;
  if (event?.issue?.pull_request) return event.issue.number;
  const isOurs = (url: string | null | undefined) =>
    !url || repository === undefined || url.toLowerCase().endsWith(`/repos/${repository.toLowerCase()}`);
  return event?.workflow_run?.pull_requests?.find(({ base }) => isOurs(base?.repo?.url))?.number;
}

function readClosedBase(event: Event | undefined): GithubRun['closedBase'] {
  const { state, base } = event?.pull_request ?? {};
  if (base === undefined || (state !== 'closed' && event?.action !== 'closed')) return undefined;
  return { branch: base.ref, commit: base.sha };
}

function readComment(env: Environment, event: Event | undefined): EventComment | undefined {
  const { issue, comment } = event ?? {};
  if (!issue?.pull_request || !comment || (env.GITHUB_EVENT_NAME ?? 'issue_comment') !== 'issue_comment')
    return undefined;
  const { id, html_url: url, body, created_at: createdAt, user } = comment;
  return {
    pullRequest: issue.number,
    id,
    url,
    body,
    author: user?.login,
    isBot: user?.type === 'Bot',
    createdAtMs: Date.parse(createdAt),
  };
}

function readApiUrl({ GITHUB_API_URL: text = 'https://api.github.com' }: Environment): string {
  if (URL.canParse(text) && /^https?:/i.test(text)) return text.replace(/\/+$/, '');
  throw failUsage(
    'GITHUB_API_URL is not an http(s) URL',
    'Leave it out for github.com. For GitHub Enterprise Server give it as in https://github.example.com/api/v3.',
  );
}

type Event = v.InferOutput<typeof EventSchema>;

function locateCode(env: Environment, event: Event | undefined): CodeLocation | Failure | undefined {
  if (event === undefined) return undefined;
  if (event.pull_request !== undefined) {
    const { head } = event.pull_request;
    if (!head.repo) return failDeletedHead();
    return { cloneUrl: head.repo.clone_url, branch: head.ref, commit: head.sha };
  }
  if (event.issue?.pull_request !== undefined || env.PR_NUMBER !== undefined) {
    // GITHUB_SHA is the default branch's commit here, so not the pull request's code.
    return failUsage(
      "the event does not say which commit the pull request's head is",
      "Set GH_TOKEN, so that GitHub can be asked, or give the head's repository URL, branch and commit as arguments. To train the branch itself, leave PR_NUMBER out.",
    );
  }
  if (event.workflow_run && env.GITHUB_EVENT_NAME === 'workflow_run') {
    const { head_sha: commit, head_branch: branch, head_repository: source } = event.workflow_run;
    return source && branch ? { cloneUrl: `${source.html_url}.git`, branch, commit } : undefined;
  }
  const cloneUrl = event.repository?.clone_url;
  const commit = event.merge_group?.head_sha ?? env.GITHUB_SHA;
  const branch =
    event.merge_group?.head_ref.replace(/^refs\/heads\//, '') ??
    readBranch(env) ??
    event.repository?.default_branch;
  return cloneUrl === undefined || commit === undefined || branch === undefined
    ? undefined
    : { cloneUrl, branch, commit };
}

/** The repository with a pull request's code was deleted. */
export function failDeletedHead(): Failure {
  return failUsage(
    "the repository of the pull request's branch was deleted",
    'Its code can no longer be cloned. Push the branch to another repository and open a new pull request.',
  );
}

function readPush(env: Environment, event: Event | undefined): GithubRun['push'] {
  const branch = /^refs\/heads\/(.+)$/.exec(env.GITHUB_REF ?? '')?.[1];
  const commit = env.GITHUB_SHA;
  if (env.GITHUB_EVENT_NAME !== 'push' || branch === undefined || commit === undefined) return undefined;
  const before = event?.before ?? '';
  return { branch, commit, previous: /^0*$/.test(before) ? undefined : before };
}

/** The event's branch or tag. */
function readBranch(env: Environment): string | undefined {
  return /^refs\/(?:heads|tags)\/(.+)$/.exec(env.GITHUB_REF ?? '')?.[1];
}

function readRepository(env: Environment): string | undefined {
  const repository = env.GITHUB_REPOSITORY;
  if (repository === undefined || isRepositoryName(repository)) return repository;
  throw failUsage(
    'GITHUB_REPOSITORY is not of the form owner/name',
    'Give it as in GITHUB_REPOSITORY=acme/digits.',
  );
}

/** Whether a text is `owner/name`. */
export function isRepositoryName(text: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(text);
}

function readPullRequestNumber(env: Environment): number | undefined {
  const text = env.PR_NUMBER;
  if (text === undefined) return undefined;
  const number = parsePullRequestNumber(text);
  if (number !== undefined) return number;
  throw failUsage(
    'PR_NUMBER is not the number of a pull request',
    'Give a whole number, as in PR_NUMBER=7, or leave it out: the event file has it.',
  );
}

/** The number of a pull request (`7` or `#7`); undefined for anything else. */
export function parsePullRequestNumber(text: string): number | undefined {
  const digits = /^#?([1-9]\d{0,9})$/.exec(text.trim())?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The parsed event file at `GITHUB_EVENT_PATH`; undefined without that variable. */
export async function readEventFile(env: Environment): Promise<unknown> {
  const path = env.GITHUB_EVENT_PATH;
  if (path === undefined) return undefined;
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const what = readErrorCode(cause) === undefined ? 'is not JSON' : 'cannot be read';
    throw failUsage(`the event file that GITHUB_EVENT_PATH names ${what}`, EVENT_FILE_REMEDY, cause);
  }
}
