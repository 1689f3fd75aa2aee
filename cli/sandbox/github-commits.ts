import type { GitHistory } from './git-history.ts';
import type { Addresses, AnswerBuilder } from './github-answers.ts';
import { type Handlers, linkHeader, pageOf } from './github-call.ts';
import { notFound, Refusal } from './github-refusal.ts';

const COMPARISON_MAX_COMMITS = 250;
const CHANGES_MAX_FILES = 300;
const CONTENT_MAX_BYTES = 1024 * 1024;

export interface CommitHandlersOptions extends Addresses {
  readonly repository: string;
  readonly defaultBranch: string;
  /** Without one the repository is empty. */
  readonly history: GitHistory | undefined;
  readonly answers: AnswerBuilder;
}

/** The operations on commits, branches and contents. */
export function createCommitHandlers(options: CommitHandlersOptions): Handlers {
  const { apiUrl, serverUrl, repository, defaultBranch, history, answers } = options;

  /** The repository's commits; GitHub answers 409 while a repository is empty. */
  const openHistory = (): GitHistory => {
    if (history === undefined) throw new Refusal(409, 'Git Repository is empty.');
    return history;
  };
  const resolveCommit = async (ref: string): Promise<string> => {
    const sha = await openHistory().resolve(ref);
    if (sha === undefined) throw new Refusal(422, `No commit found for SHA: ${ref}`);
    return sha;
  };

  return {
    'repos/list-commits': async (call) => {
      const { values } = call;
      const sha = await openHistory().resolve(String(values.sha ?? defaultBranch));
      if (sha === undefined) throw notFound();
      const { page, perPage } = pageOf(call);
      const filter = Object.fromEntries(
        (['path', 'author', 'committer', 'since', 'until'] as const)
          .filter((name) => values[name] !== undefined)
          .map((name) => [name, String(values[name])]),
      );
      const { commits, total } = await openHistory().list(sha, filter, (page - 1) * perPage, perPage);
      return { status: 200, body: commits.map(answers.commit), headers: linkHeader(call, total) };
    },
    'repos/get-commit': async ({ values }) => {
      const [commit] = await openHistory().read([await resolveCommit(String(values.ref))]);
      if (commit === undefined) throw notFound();
      const changes = await openHistory().changes(commit.parents[0], commit.sha);
      return { status: 200, body: answers.commitWithFiles(commit, changes.slice(0, CHANGES_MAX_FILES)) };
    },
    'git/get-commit': async ({ values }) => {
      const sha = String(values.commit_sha);
      const found = /^[0-9a-f]{40}$/.test(sha) ? await openHistory().resolve(sha) : undefined;
      const [commit] = found === undefined ? [] : await openHistory().read([found]);
      if (commit === undefined) throw notFound();
      return { status: 200, body: answers.gitCommit(commit) };
    },
    'repos/get-branch': async ({ values }) => {
      const name = String(values.branch);
      const sha = await history?.resolveBranch(name);
      const [commit] = sha === undefined ? [] : await openHistory().read([sha]);
      if (commit === undefined) throw new Refusal(404, 'Branch not found');
      const path = encodeURIComponent(name);
      const self = `${apiUrl}/repos/${repository}/branches/${path}`;
      const body = {
        name,
        commit: answers.commit(commit),
        _links: { self, html: `${serverUrl}/${repository}/tree/${path}` },
        protected: false,
        protection: {
          enabled: false,
          required_status_checks: { enforcement_level: 'off', contexts: [], checks: [] },
        },
        protection_url: `${self}/protection`,
      };
      return { status: 200, body };
    },
    'repos/compare-commits-with-basehead': async (call) => {
      const basehead = String(call.values.basehead);
      const [base, head] = basehead.split('...').map((ref) => ref.replace(/^.*:/, ''));
      const [baseSha, headSha] = await Promise.all([
        history?.resolve(base ?? ''),
        history?.resolve(head ?? ''),
      ]);
      if (history === undefined || baseSha === undefined || headSha === undefined) throw notFound();
      const mergeBaseSha = await history.mergeBase(baseSha, headSha);
      if (mergeBaseSha === undefined)
        throw new Refusal(404, `No common ancestor between ${base} and ${head}.`);
      const [ahead, behind] = await Promise.all([
        history.between(baseSha, headSha),
        history.between(headSha, baseSha),
      ]);
      const { page, perPage } = pageOf(call);
      const paged = call.values.page !== undefined || call.values.per_page !== undefined;
      const shas = paged
        ? ahead.slice((page - 1) * perPage, page * perPage)
        : ahead.slice(0, COMPARISON_MAX_COMMITS);
      const [baseCommit, mergeBase, ...commits] = await history.read([baseSha, mergeBaseSha, ...shas]);
      if (baseCommit === undefined || mergeBase === undefined) throw notFound();
      const changes = page > 1 ? undefined : await history.changes(mergeBaseSha, headSha);
      const status =
        ahead.length === 0
          ? behind.length === 0
            ? 'identical'
            : 'behind'
          : behind.length === 0
            ? 'ahead'
            : 'diverged';
      const htmlUrl = `${serverUrl}/${repository}/compare/${encodeURIComponent(basehead)}`;
      const owner = repository.split('/')[0];
      const permalink = encodeURIComponent(
        `${owner}:${baseSha.slice(0, 7)}...${owner}:${headSha.slice(0, 7)}`,
      );
      const body = {
        url: `${apiUrl}/repos/${repository}/compare/${encodeURIComponent(basehead)}`,
        html_url: htmlUrl,
        permalink_url: `${serverUrl}/${repository}/compare/${permalink}`,
        diff_url: `${htmlUrl}.diff`,
        patch_url: `${htmlUrl}.patch`,
        base_commit: answers.commit(baseCommit),
        merge_base_commit: answers.commit(mergeBase),
        status,
        ahead_by: ahead.length,
        behind_by: behind.length,
        total_commits: ahead.length,
        commits: commits.map(answers.commit),
        ...(changes === undefined
          ? {}
          : { files: answers.files(changes.slice(0, CHANGES_MAX_FILES), headSha) }),
      };
      return { status: 200, body, headers: paged ? linkHeader(call, ahead.length) : {} };
    },
    'repos/get-content': async ({ values }) => {
      const ref = String(values.ref ?? defaultBranch);
      const sha = await history?.resolve(ref);
      if (sha === undefined) throw new Refusal(404, `No commit found for the ref ${ref}`);
      const found = await history?.contents(sha, String(values.path));
      if (history === undefined || found === undefined) throw notFound();
      if (Array.isArray(found))
        return { status: 200, body: found.map((entry) => answers.content(entry, ref)) };
      const document = answers.content(found, ref);
      if (found.type === 'submodule') throw new Refusal(501, 'The sandbox does not answer for submodules.');
      const blob = await history.blob(found.sha);
      if (found.type === 'symlink')
        return { status: 200, body: { ...document, target: blob.toString('utf8') } };
      // GitHub breaks the base64 text every 60 characters, and gives none for more than 1 MB.
      const content = blob.toString('base64').replace(/.{60}/g, '$&\n');
      const isLarge = blob.length > CONTENT_MAX_BYTES;
      const body = {
        ...document,
        encoding: isLarge ? 'none' : 'base64',
        content: isLarge ? '' : `${content}\n`,
      };
      return { status: 200, body };
    },
  };
}
