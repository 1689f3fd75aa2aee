import { type ClearmlClient, createClearmlClient } from '../clearml/client.ts';
import { type CodeHost, createGithubClient, type GithubClient } from '../github/client.ts';
import type { CommentBoard } from '../github/comments.ts';
import type { GithubRun } from '../github/event.ts';
import type { StatusBoard } from '../github/statuses.ts';
import { readPackageVersion } from '../shell/files.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createLimitWait, formatRetry, type Retry } from '../shell/retry.ts';
import type { Options } from './options.ts';
import type { SourceServers } from './ports.ts';
import { createReportServer } from './server.ts';

/** The program gives up within a minute: first it stops reading, then posting. A rate limit is waited for once, besides. */
const ASK_MS = 40_000;
const POST_MS = 47_000;

/** The services, and the time limits for asking them. */
export interface Connection {
  readonly servers: SourceServers;
  readonly clearml: ClearmlClient;
  /** GitHub as it is now, also after a push; undefined without a token or a repository. */
  readonly host: Promise<GithubClient> | undefined;
  /** The pull request's comments; undefined if nothing is posted. */
  readonly board: Promise<CommentBoard> | undefined;
  /** Opens the statuses of a context, for the job's own token. */
  openStatuses(context: string): Promise<StatusBoard>;
  /** Aborted by an interruption or by `close`. */
  readonly signal: AbortSignal;
  /** The deadline for posting, in ms since 1970. */
  readonly postUntilMs: number;
  /** Extends the time limit to that for posting. */
  beginPosting(): void;
  close(): Promise<void>;
}

/** After a merge or a push the branch holds the code itself: that would be compared with itself. */
function readAsOfMerge(host: CodeHost, { closedBase, push }: GithubRun, isPullRequest: boolean): CodeHost {
  const base = isPullRequest ? closedBase : push && { branch: push.branch, commit: push.previous };
  const find = (ref: string) => (ref === base?.branch ? (base.commit ?? ref) : ref);
  return {
    ...host,
    compareCommits: (ref, head) => host.compareCommits(find(ref), head),
    listCommits: (ref) => host.listCommits(find(ref)),
    readFile: (path, ref) => host.readFile(path, find(ref)),
  };
}

/** Opens the connections to ClearML and, with a token, to GitHub. */
export function connect({ access, flags, github, target }: Options, session: Session): Connection {
  const { clock, interruption, random, redact, voice } = session;
  const { jobToken, pullRequest, repository, token } = target;
  const isDry = flags.dryRun === true;
  const end = new AbortController();
  const signal = AbortSignal.any([interruption, end.signal]);
  const beganAtMs = clock.now();
  let giveUpAtMs = beganAtMs + ASK_MS;
  const limitWait = createLimitWait();
  const http = createHttp(session.env, clock);
  const shared = {
    http,
    clock,
    redact,
    random,
    giveUpAt: () => giveUpAtMs + limitWait.waitedMs,
    limitWait,
    onRetry: (retry: Retry) => voice.say(formatRetry(retry)),
  };
  const clearml = createClearmlClient({ ...shared, access });
  const openClient = (of: string, as: string) =>
    createGithubClient({
      ...shared,
      apiUrl: github.apiUrl,
      token: as,
      repository: of,
      version: readPackageVersion(),
      commentAuthor: flags.commentAuthor,
      signal,
    });
  const client =
    token === undefined ||
    repository === undefined ||
    (isDry && pullRequest === undefined && flags.promote !== true)
      ? undefined
      : openClient(repository, token);
  return {
    servers: {
      clearml: createReportServer(clearml, signal),
      github: client?.then((host) => readAsOfMerge(host, github, pullRequest !== undefined)),
    },
    clearml,
    host: client,
    board:
      isDry || pullRequest === undefined
        ? undefined
        : client?.then((opened) => opened.openBoard(pullRequest.number)),
    async openStatuses(context) {
      if (client === undefined || jobToken === undefined || repository === undefined)
        throw new Error('there is no repository to write a commit status in');
      return (await (jobToken === token ? client : openClient(repository, jobToken))).openStatuses(context);
    },
    signal,
    get postUntilMs() {
      return beganAtMs + POST_MS + limitWait.waitedMs;
    },
    beginPosting() {
      giveUpAtMs = beganAtMs + POST_MS;
    },
    async close() {
      // After a failure other requests may still be under way.
      end.abort();
      await http.close();
    },
  };
}
