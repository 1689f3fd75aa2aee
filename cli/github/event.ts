import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { dropUserInfo, type Environment } from '../shell/environment.ts';
import { checkAll, EXIT_CODES, Failure } from '../shell/failure.ts';

/** What GitHub tells about the run: from the variables and the event file. */
export interface GithubRun {
  /** `owner/name` of the repository whose workflow runs. */
  readonly repository: string | undefined;
  readonly pullRequest: number | undefined;
  /** The pull request that the event itself is about, whatever PR_NUMBER says. */
  readonly eventPullRequest: number | undefined;
  /** Code that the event is about: a pull request's head, never its merge commit. A failure where it can't be had. */
  readonly code: CodeLocation | Failure | undefined;
  /** The branch the pull request is to be merged into; the branch itself on a push. */
  readonly baseBranch: string | undefined;
  /** A push to a branch, with the commit that was the branch's before; undefined for any other event. */
  readonly push:
    | { readonly branch: string; readonly commit: string; readonly previous: string | undefined }
    | undefined;
  readonly eventName: string | undefined;
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

export interface CodeLocation {
  readonly cloneUrl: string;
  readonly branch: string;
  readonly commit: string;
}

const RepositorySchema = v.object({ clone_url: v.string(), default_branch: v.optional(v.string()) });

const EventSchema = v.object({
  repository: v.optional(RepositorySchema),
  pull_request: v.optional(
    v.object({
      number: v.number(),
      head: v.object({ ref: v.string(), sha: v.string(), repo: v.nullish(RepositorySchema) }),
      base: v.object({ ref: v.string() }),
    }),
  ),
  /** issue_comment and friends on a pull request. */
  issue: v.optional(v.object({ number: v.number(), pull_request: v.optional(v.unknown()) })),
  workflow_run: v.nullish(
    v.object({
      head_sha: v.string(),
      head_branch: v.nullish(v.string()),
      // GitHub sends it shortened: without clone_url.
      head_repository: v.nullish(v.object({ html_url: v.string() })),
    }),
  ),
  /** merge_group's head and base. */
  merge_group: v.optional(v.object({ head_sha: v.string(), head_ref: v.string(), base_ref: v.string() })),
  /** push's former commit; all zeros for a new branch. */
  before: v.nullish(v.string()),
});

/**
 * Puts together what the runner tells. Without an event (locally) only what the variables say is known.
 *
 * @param event the parsed event file; its shape is checked here
 * @throws Failure (usage) naming everything that is wrong: PR_NUMBER is no number, GITHUB_REPOSITORY no owner/name,
 * GITHUB_API_URL no URL, the event not GitHub's
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
    pullRequest: number ?? findPullRequest(data),
    eventPullRequest: data?.pull_request?.number,
    code: locateCode(env, data),
    baseBranch:
      data?.pull_request?.base.ref ??
      data?.merge_group?.base_ref.replace(/^refs\/heads\//, '') ??
      readBranch(env),
    push: readPush(env, data),
    eventName: env.GITHUB_EVENT_NAME,
    runId: env.GITHUB_RUN_ID,
    runAttempt: env.GITHUB_RUN_ATTEMPT,
    workflow: env.GITHUB_WORKFLOW,
    job: env.GITHUB_JOB,
    actor: env.GITHUB_ACTOR,
    serverUrl: dropUserInfo((env.GITHUB_SERVER_URL ?? 'https://github.com').replace(/\/+$/, '')),
    apiUrl,
  });
}

/** Whether a variable or the event names a pull request at all; whether it does so rightly is `readGithubRun`'s to say. */
export function namesPullRequest(env: Environment, event: unknown): boolean {
  const parsed = v.safeParse(EventSchema, event ?? {});
  return env.PR_NUMBER !== undefined || !parsed.success || findPullRequest(parsed.output) !== undefined;
}

function parseEvent(event: unknown): Event | undefined {
  if (event === undefined) return undefined;
  const parsed = v.safeParse(EventSchema, event);
  if (parsed.success) return parsed.output;
  throw new Failure(
    `the event file does not look like GitHub's (${v.getDotPath(parsed.issues[0]) ?? 'root'})`,
    {
      exitCode: EXIT_CODES.usage,
      remedy:
        'GITHUB_EVENT_PATH is set by the runner; outside Actions, leave it out or let it name a real event file.',
    },
  );
}

/** The pull request that the event is about, or the one that an issue's event is really about. */
function findPullRequest(event: Event | undefined): number | undefined {
  return event?.pull_request?.number ?? (event?.issue?.pull_request ? event.issue.number : undefined);
}

function readApiUrl({ GITHUB_API_URL: text = 'https://api.github.com' }: Environment): string {
  if (URL.canParse(text) && /^https?:/i.test(text)) return text.replace(/\/+$/, '');
  throw new Failure('GITHUB_API_URL is not an http(s) URL', {
    exitCode: EXIT_CODES.usage,
    remedy:
      'Leave it out for github.com; for a GitHub Enterprise Server give it as in https://github.example.com/api/v3.',
  });
}

type Event = v.InferOutput<typeof EventSchema>;

function locateCode(env: Environment, event: Event | undefined): CodeLocation | Failure | undefined {
  if (event === undefined) return undefined;
  if (event.pull_request !== undefined) {
    const { head } = event.pull_request;
    if (head.repo) return { cloneUrl: head.repo.clone_url, branch: head.ref, commit: head.sha };
    return new Failure('the repository that the pull request comes from was deleted', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Its code cannot be cloned any more: push the branch to another repository and open the pull request again.',
    });
  }
  if (event.issue?.pull_request !== undefined || env.PR_NUMBER !== undefined) {
    // GITHUB_SHA is the default branch's commit then: trained as the pull request's it would be the wrong code.
    return new Failure(`the event does not say which commit the pull request's head is`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Set GH_TOKEN, so that GitHub can be asked, or give repository URL, branch and commit of the head as arguments; leave PR_NUMBER out to train the branch itself.',
    });
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

function readPush(env: Environment, event: Event | undefined): GithubRun['push'] {
  const branch = /^refs\/heads\/(.+)$/.exec(env.GITHUB_REF ?? '')?.[1];
  const commit = env.GITHUB_SHA;
  if (env.GITHUB_EVENT_NAME !== 'push' || branch === undefined || commit === undefined) return undefined;
  const before = event?.before ?? '';
  return { branch, commit, previous: /^0*$/.test(before) ? undefined : before };
}

/** The branch, or the tag, that the event is about. */
function readBranch(env: Environment): string | undefined {
  return /^refs\/(?:heads|tags)\/(.+)$/.exec(env.GITHUB_REF ?? '')?.[1];
}

function readRepository(env: Environment): string | undefined {
  const repository = env.GITHUB_REPOSITORY;
  if (repository === undefined || isRepositoryName(repository)) return repository;
  throw new Failure('GITHUB_REPOSITORY is not of the form owner/name', {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give it as in GITHUB_REPOSITORY=acme/digits.',
  });
}

/** Whether it is `owner/name`. */
export function isRepositoryName(text: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(text);
}

function readPullRequestNumber(env: Environment): number | undefined {
  const text = env.PR_NUMBER;
  if (text === undefined) return undefined;
  const number = parsePullRequestNumber(text);
  if (number !== undefined) return number;
  throw new Failure('PR_NUMBER is not the number of a pull request', {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give a whole number, as in PR_NUMBER=7, or leave it out: the event file has it.',
  });
}

/** The number of a pull request (`7` or `#7`); undefined for anything else. */
export function parsePullRequestNumber(text: string): number | undefined {
  const digits = /^#?([1-9]\d{0,9})$/.exec(text.trim())?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The parsed event file that `GITHUB_EVENT_PATH` names; undefined where it names none. */
export async function readEventFile(env: Environment): Promise<unknown> {
  const path = env.GITHUB_EVENT_PATH;
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw failEventFile('cannot be read', cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw failEventFile('is no JSON', cause);
  }
}

function failEventFile(what: string, cause: unknown): Failure {
  return new Failure(`the event file that GITHUB_EVENT_PATH names ${what}`, {
    exitCode: EXIT_CODES.usage,
    remedy:
      'The runner sets GITHUB_EVENT_PATH; outside Actions, leave it out or let it name a real event file.',
    cause,
  });
}
