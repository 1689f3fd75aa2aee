import type { GitHistory } from './git-history.ts';
import type { AnswerBuilder, StatusDocument } from './github-answers.ts';
import { answerPage, type Handlers, linkHeader, pageOf } from './github-call.ts';
import { notFound, Refusal } from './github-refusal.ts';

const DESCRIPTION_MAX_CHARACTERS = 140;
/** Of a context and of an address, as the columns of GitHub's database. */
const TEXT_MAX_CHARACTERS = 255;
/** Of a commit and context. */
const STATUSES_MAX = 1000;

function refuseStatus(error: Record<string, string>): Refusal {
  return new Refusal(422, 'Validation Failed', {
    errors: [{ resource: 'Status', code: 'custom', ...error }],
  });
}

/** GitHub's description: "This field is case-insensitive." */
function isSame(context: string, other: string): boolean {
  return context.toLowerCase() === other.toLowerCase();
}

export interface StatusHandlersOptions {
  readonly apiUrl: string;
  readonly repository: string;
  readonly history: GitHistory | undefined;
  readonly answers: AnswerBuilder;
  readonly time: () => string;
  /** What was written so far, oldest first; filled here. */
  readonly statuses?: KeptStatus[];
}

/** A status and the commit that it belongs to. */
export interface KeptStatus {
  readonly sha: string;
  readonly document: StatusDocument;
}

/** The operations on commit statuses. */
export function createStatusHandlers(options: StatusHandlersOptions): Handlers {
  const { apiUrl, repository, history, answers, time, statuses = [] } = options;

  const statusesOf = (sha: string): StatusDocument[] =>
    statuses
      .filter((status) => status.sha === sha)
      .map((status) => status.document)
      .reverse();
  const resolveForStatus = async (ref: string): Promise<string> => {
    const sha = history === undefined ? ref : await history.resolve(ref);
    if (sha === undefined) throw notFound();
    return sha;
  };

  return {
    'repos/create-commit-status': async ({ values, body, holder }) => {
      const sha = await history?.resolve(String(values.sha));
      if (history !== undefined && sha === undefined) {
        throw new Refusal(422, `No commit found for SHA: ${String(values.sha)}`);
      }
      const text = typeof body.description === 'string' ? body.description : null;
      if (text !== null && [...text].length > DESCRIPTION_MAX_CHARACTERS) {
        const message = `description is too long (maximum is ${DESCRIPTION_MAX_CHARACTERS} characters)`;
        throw refuseStatus({ field: 'description', message });
      }
      // As github.com answers it: ouzi-dev/commit-status-updater#526, unicode-org/jira-github-pr-check#28.
      if (text !== null && /[\u{10000}-\u{10ffff}]/u.test(text)) {
        throw refuseStatus({ field: 'description', message: "description doesn't accept 4-byte Unicode" });
      }
      const context = typeof body.context === 'string' ? body.context : 'default';
      if ([...context].length > TEXT_MAX_CHARACTERS) {
        const message = `context is too long (maximum is ${TEXT_MAX_CHARACTERS} characters)`;
        throw refuseStatus({ field: 'context', message });
      }
      if (typeof body.target_url === 'string' && !/^https?:\/\//.test(body.target_url)) {
        throw refuseStatus({ field: 'target_url', message: 'target_url must use http(s) scheme' });
      }
      const earlier = statusesOf(sha ?? String(values.sha)).filter((status) =>
        isSame(status.context, context),
      );
      if (earlier.length >= STATUSES_MAX) {
        throw refuseStatus({ message: 'This SHA and context has reached the maximum number of statuses.' });
      }
      const id = 40_000_000_000 + statuses.length;
      const document: StatusDocument = {
        url: `${apiUrl}/repos/${repository}/statuses/${String(values.sha)}`,
        avatar_url: answers.user(holder.login).avatar_url,
        id,
        node_id: `SC_${id}`,
        state: String(body.state),
        description: text,
        target_url: typeof body.target_url === 'string' ? body.target_url : null,
        context,
        created_at: time(),
        updated_at: time(),
        creator: answers.user(holder.login),
      };
      statuses.push({ sha: sha ?? String(values.sha), document });
      return { status: 201, body: document, headers: { location: document.url } };
    },
    'repos/list-commit-statuses-for-ref': async (call) =>
      answerPage(call, statusesOf(await resolveForStatus(String(call.values.ref))), (status) => status),
    'repos/get-combined-status-for-ref': async (call) => {
      const sha = await resolveForStatus(String(call.values.ref));
      const newest = new Map<string, StatusDocument>();
      for (const status of statusesOf(sha)) {
        const name = status.context.toLowerCase();
        if (!newest.has(name)) newest.set(name, status);
      }
      const latest = [...newest.values()];
      const has = (...states: string[]): boolean => latest.some((status) => states.includes(status.state));
      const url = `${apiUrl}/repos/${repository}/commits/${sha}`;
      const { page, perPage } = pageOf(call);
      const body = {
        state: has('failure', 'error')
          ? 'failure'
          : latest.length === 0 || has('pending')
            ? 'pending'
            : 'success',
        sha,
        total_count: latest.length,
        statuses: latest.slice((page - 1) * perPage, page * perPage),
        repository: answers.repository(repository),
        commit_url: url,
        url: `${url}/status`,
      };
      return { status: 200, body, headers: linkHeader(call, latest.length) };
    },
  };
}
