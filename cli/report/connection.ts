import { type ClearmlClient, createClearmlClient } from '../clearml/client.ts';
import { type CodeHost, createGithubClient, type GithubClient } from '../github/client.ts';
import type { CommentBoard } from '../github/comments.ts';
import type { GithubRun } from '../github/event.ts';
import type { StatusBoard } from '../github/statuses.ts';
import { readPackageVersion } from '../shell/files.ts';
import { createHttp } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { createLimitWait, createRetryTeller } from '../shell/retry.ts';
import type { Options } from './options.ts';
import type { SourceServers } from './ports.ts';
import { createReportServer } from './server.ts';

/** The program gives up within a minute: first it stops reading, then posting. A rate limit is waited for once, besides. */
const ASK_MS = 40_000;
const POST_MS = 47_000;

/** The services, and the time limits for asking them. */
export interface Wires {
  readonly servers: SourceServers;
  readonly clearml: ClearmlClient;
  /** Undefined without a token. */
  readonly github: Promise<GithubClient> | undefined;
  /** Opens the statuses of a context, for the job's own token. */
  openStatuses(context: string): Promise<StatusBoard>;
  /** Tags that say what was reported, added by this run, by task. */
  readonly marked: Map<string, readonly string[]>;
  /** Aborted by an interruption or by `close`. */
  readonly signal: AbortSignal;
  /** The deadline for posting, in ms since 1970. */
  readonly postUntilMs: number;
  /** Extends the time limit to that for posting. */
  beginPosting(): void;
  /** Begins a further report, with a time limit of its own. */
  restart(): void;
  close(): Promise<void>;
}

/** What one report is made and posted with. */
export interface Connection {
  readonly wires: Wires;
  /** They answer as of the merge or the push. */
  readonly servers: SourceServers;
  /** The pull request's comments; undefined if nothing is posted. */
  readonly board: Promise<CommentBoard> | undefined;
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
export function openWires({ access, due, flags, github, target }: Options, session: Session): Wires {
  const { clock, interruption, random, redact, voice } = session;
  const { jobToken, pullRequest, repository, token } = target;
  const end = new AbortController();
  const signal = AbortSignal.any([interruption, end.signal]);
  let beganAtMs = clock.now();
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
    onRetry: createRetryTeller(voice.say, clock),
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
  const isPlain = flags.dryRun !== true && flags.promote !== true;
  const isPushed = flags.promote === true && github.push !== undefined;
  const isAsked = isPlain || isPushed || pullRequest !== undefined || due !== undefined;
  const client =
    token === undefined || repository === undefined || !isAsked ? undefined : openClient(repository, token);
  return {
    servers: { clearml: createReportServer(clearml, signal), github: client },
    clearml,
    github: client,
    async openStatuses(context) {
      if (client === undefined || jobToken === undefined || repository === undefined)
        throw new Error('there is no repository to write a commit status in');
      return (await (jobToken === token ? client : openClient(repository, jobToken))).openStatuses(context);
    },
    marked: new Map(),
    signal,
    get postUntilMs() {
      return beganAtMs + POST_MS + limitWait.waitedMs;
    },
    beginPosting() {
      giveUpAtMs = beganAtMs + POST_MS;
    },
    restart() {
      beganAtMs = clock.now();
      giveUpAtMs = beganAtMs + ASK_MS;
    },
    async close() {
      // After a failure other requests may still be under way.
      end.abort();
      await http.close();
    },
  };
}

/** What one report is made and posted with. */
export function connect({ flags, github, sources, target }: Options, wires: Wires): Connection {
  const { pullRequest } = target;
  const asOf = (host: CodeHost) => readAsOfMerge(host, github, sources.pullRequest !== undefined);
  return {
    wires,
    servers: { ...wires.servers, github: wires.servers.github?.then(asOf) },
    board:
      flags.dryRun === true || pullRequest === undefined
        ? undefined
        : wires.github?.then((client) => client.openBoard(pullRequest.number)),
  };
}
