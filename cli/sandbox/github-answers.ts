import { createHash } from 'node:crypto';
import type { RestEndpointMethodTypes } from '@octokit/rest';
import type { GitCommit, GitFileChange, GitTreeEntry } from './git-history.ts';

type Repos = RestEndpointMethodTypes['repos'];
export type CommentDocument = RestEndpointMethodTypes['issues']['getComment']['response']['data'];
export type CommitDocument = Repos['getCommit']['response']['data'];
export type GitCommitDocument = RestEndpointMethodTypes['git']['getCommit']['response']['data'];
export type ComparisonDocument = Repos['compareCommitsWithBasehead']['response']['data'];
export type PullDocument = RestEndpointMethodTypes['pulls']['get']['response']['data'];
export type PullListDocument = RestEndpointMethodTypes['pulls']['list']['response']['data'][number];
export type RepositoryDocument = Repos['get']['response']['data'];
export type IssueDocument = Pick<PullListDocument, 'number' | 'title' | 'user' | 'state' | 'html_url'> & {
  readonly pull_request: { readonly url: string; readonly html_url: string };
};
export type ReactionDocument =
  RestEndpointMethodTypes['reactions']['createForIssueComment']['response']['data'];
export type StatusDocument = Repos['createCommitStatus']['response']['data'];
export type UserDocument = NonNullable<CommentDocument['user']>;
export type OwnUserDocument = Extract<
  RestEndpointMethodTypes['users']['getAuthenticated']['response']['data'],
  { two_factor_authentication: boolean }
>;
type ContentDocument = Exclude<Repos['getContent']['response']['data'], unknown[]>;

/** Where the two servers are; every address in an answer starts with one of these. */
export interface Addresses {
  readonly apiUrl: string;
  readonly serverUrl: string;
}

export interface Pull {
  readonly number: number;
  title: string;
  author: string;
  headRef: string;
  headSha: string;
  headRepository: string;
  /** The repository with its code was deleted. */
  isHeadGone: boolean;
  /** When somebody last pushed to the head's repository. */
  pushedAt: string;
  baseRef: string;
  baseSha: string;
  state: 'open' | 'closed';
  createdAt: string;
  updatedAt: string;
  closedAt: string | null;
  /** What the merge put on the base branch; a rebase puts several, and this is the last. */
  merge: { readonly sha: string; readonly at: string } | undefined;
}

export interface Comment {
  readonly id: number;
  readonly pull: number;
  readonly author: string;
  body: string;
  readonly createdAt: string;
  updatedAt: string;
}

/** A stable number for a name, as large as GitHub's own ids are by now. */
export function numberFor(name: string): number {
  return 100_000_000 + (createHash('sha256').update(name).digest().readUInt32BE() % 900_000_000);
}

/** A stable object id for a name, for commits that no repository holds. */
export function objectIdFor(name: string): string {
  return createHash('sha1').update(name).digest('hex');
}

function nodeId(kind: string, id: string | number): string {
  return `${kind}_${Buffer.from(String(id)).toString('base64url')}`;
}

/** Makes the JSON documents of GitHub's answers. */
export interface AnswerBuilder {
  user(login: string): UserDocument;
  ownUser(login: string): OwnUserDocument;
  repository(fullName: string): RepositoryDocument;
  comment(comment: Comment): CommentDocument;
  commit(commit: GitCommit): CommitDocument;
  commitWithFiles(commit: GitCommit, files: readonly GitFileChange[]): CommitDocument;
  gitCommit(commit: GitCommit): GitCommitDocument;
  files(files: readonly GitFileChange[], sha: string): NonNullable<ComparisonDocument['files']>;
  pullInList(pull: Pull): PullListDocument;
  pull(pull: Pull, counts: PullCounts): PullDocument;
  content(entry: GitTreeEntry, ref: string): Omit<ContentDocument, 'type' | 'content'> & { type: string };
}

export interface PullCounts {
  readonly comments: number;
  readonly commits: number;
  readonly additions: number;
  readonly deletions: number;
  readonly changedFiles: number;
}

export interface AnswerBuilderOptions extends Addresses {
  readonly repository: string;
  readonly defaultBranch: string;
  /** ISO 8601, the age of the repository and of its users. */
  readonly since: string;
}

export function createAnswerBuilder(options: AnswerBuilderOptions): AnswerBuilder {
  const { apiUrl, serverUrl, since } = options;
  const api = `${apiUrl}/repos/${options.repository}`;
  const web = `${serverUrl}/${options.repository}`;

  const user = (login: string): UserDocument => {
    const url = `${apiUrl}/users/${encodeURIComponent(login)}`;
    const isBot = login.endsWith('[bot]');
    const id = numberFor(`user ${login}`);
    return {
      login,
      id,
      node_id: nodeId(isBot ? 'BOT' : 'U', id),
      avatar_url: `${serverUrl}/avatars/u/${id}`,
      gravatar_id: '',
      url,
      html_url: isBot ? `${serverUrl}/apps/${login.slice(0, -'[bot]'.length)}` : `${serverUrl}/${login}`,
      followers_url: `${url}/followers`,
      following_url: `${url}/following{/other_user}`,
      gists_url: `${url}/gists{/gist_id}`,
      starred_url: `${url}/starred{/owner}{/repo}`,
      subscriptions_url: `${url}/subscriptions`,
      organizations_url: `${url}/orgs`,
      repos_url: `${url}/repos`,
      events_url: `${url}/events{/privacy}`,
      received_events_url: `${url}/received_events`,
      type: isBot ? 'Bot' : 'User',
      user_view_type: 'public',
      site_admin: false,
    };
  };

  const repository = (fullName: string): RepositoryDocument => {
    const [owner, name] = fullName.split('/') as [string, string];
    const url = `${apiUrl}/repos/${fullName}`;
    const htmlUrl = `${serverUrl}/${fullName}`;
    const id = numberFor(`repository ${fullName}`);
    const isFork = fullName !== options.repository;
    return {
      id,
      node_id: nodeId('R', id),
      name,
      full_name: fullName,
      private: false,
      owner: user(owner),
      html_url: htmlUrl,
      description: null,
      fork: isFork,
      url,
      forks_url: `${url}/forks`,
      keys_url: `${url}/keys{/key_id}`,
      collaborators_url: `${url}/collaborators{/collaborator}`,
      teams_url: `${url}/teams`,
      hooks_url: `${url}/hooks`,
      issue_events_url: `${url}/issues/events{/number}`,
      events_url: `${url}/events`,
      assignees_url: `${url}/assignees{/user}`,
      branches_url: `${url}/branches{/branch}`,
      tags_url: `${url}/tags`,
      blobs_url: `${url}/git/blobs{/sha}`,
      git_tags_url: `${url}/git/tags{/sha}`,
      git_refs_url: `${url}/git/refs{/sha}`,
      trees_url: `${url}/git/trees{/sha}`,
      statuses_url: `${url}/statuses/{sha}`,
      languages_url: `${url}/languages`,
      stargazers_url: `${url}/stargazers`,
      contributors_url: `${url}/contributors`,
      subscribers_url: `${url}/subscribers`,
      subscription_url: `${url}/subscription`,
      commits_url: `${url}/commits{/sha}`,
      git_commits_url: `${url}/git/commits{/sha}`,
      comments_url: `${url}/comments{/number}`,
      issue_comment_url: `${url}/issues/comments{/number}`,
      contents_url: `${url}/contents/{+path}`,
      compare_url: `${url}/compare/{base}...{head}`,
      merges_url: `${url}/merges`,
      archive_url: `${url}/{archive_format}{/ref}`,
      downloads_url: `${url}/downloads`,
      issues_url: `${url}/issues{/number}`,
      pulls_url: `${url}/pulls{/number}`,
      milestones_url: `${url}/milestones{/number}`,
      notifications_url: `${url}/notifications{?since,all,participating}`,
      labels_url: `${url}/labels{/name}`,
      releases_url: `${url}/releases{/id}`,
      deployments_url: `${url}/deployments`,
      created_at: since,
      updated_at: since,
      pushed_at: since,
      git_url: `git://${new URL(serverUrl).host}/${fullName}.git`,
      ssh_url: `git@${new URL(serverUrl).hostname}:${fullName}.git`,
      clone_url: `${htmlUrl}.git`,
      svn_url: htmlUrl,
      homepage: null,
      size: 0,
      stargazers_count: 0,
      watchers_count: 0,
      language: null,
      has_issues: true,
      has_projects: true,
      has_wiki: true,
      has_pages: false,
      has_discussions: false,
      forks_count: 0,
      mirror_url: null,
      archived: false,
      disabled: false,
      open_issues_count: 0,
      license: null,
      forks: 0,
      open_issues: 0,
      watchers: 0,
      default_branch: options.defaultBranch,
      network_count: 0,
      subscribers_count: 0,
    };
  };

  const verification = {
    verified: false,
    reason: 'unsigned',
    signature: null,
    payload: null,
    verified_at: null,
  };
  const parentsOf = (
    commit: GitCommit,
    path: string,
  ): Array<{ sha: string; url: string; html_url: string }> =>
    commit.parents.map((sha) => ({ sha, url: `${api}/${path}/${sha}`, html_url: `${web}/commit/${sha}` }));

  const commitDocument = (commit: GitCommit): CommitDocument => ({
    sha: commit.sha,
    node_id: nodeId('C', commit.sha),
    commit: {
      author: { ...commit.author },
      committer: { ...commit.committer },
      message: commit.message,
      tree: { sha: commit.tree, url: `${api}/git/trees/${commit.tree}` },
      url: `${api}/git/commits/${commit.sha}`,
      comment_count: 0,
      verification,
    },
    url: `${api}/commits/${commit.sha}`,
    html_url: `${web}/commit/${commit.sha}`,
    comments_url: `${api}/commits/${commit.sha}/comments`,
    // GitHub gives null where no account has the e-mail address.
    author: null,
    committer: null,
    parents: parentsOf(commit, 'commits'),
  });

  const files = (changes: readonly GitFileChange[], sha: string): NonNullable<ComparisonDocument['files']> =>
    changes.map((change) => {
      const path = change.filename.split('/').map(encodeURIComponent).join('/');
      return {
        sha: change.sha,
        filename: change.filename,
        status: change.status,
        additions: change.additions,
        deletions: change.deletions,
        changes: change.additions + change.deletions,
        blob_url: `${web}/blob/${sha}/${path}`,
        raw_url: `${web}/raw/${sha}/${path}`,
        contents_url: `${api}/contents/${path}?ref=${sha}`,
        ...(change.previousFilename === undefined ? {} : { previous_filename: change.previousFilename }),
      };
    });

  const pullInList = (pull: Pull): PullListDocument => {
    const url = `${api}/pulls/${pull.number}`;
    const issueUrl = `${api}/issues/${pull.number}`;
    const htmlUrl = `${web}/pull/${pull.number}`;
    const id = numberFor(`pull ${options.repository} ${pull.number}`);
    const end = (ref: string, sha: string, fullName: string, pushedAt?: string): PullListDocument['head'] => {
      const owner = fullName.split('/')[0] ?? '';
      // The list's type asks for fields of "repository" that the full one has, and some that GitHub no longer sends.
      const repo = {
        ...repository(fullName),
        ...(pushedAt === undefined ? {} : { pushed_at: pushedAt }),
        has_downloads: false,
      } as unknown as PullListDocument['head']['repo'];
      return { label: `${owner}:${ref}`, ref, sha, user: user(owner), repo };
    };
    return {
      url,
      id,
      node_id: nodeId('PR', id),
      html_url: htmlUrl,
      diff_url: `${htmlUrl}.diff`,
      patch_url: `${htmlUrl}.patch`,
      issue_url: issueUrl,
      number: pull.number,
      state: pull.state,
      locked: false,
      title: pull.title,
      user: user(pull.author),
      body: null,
      created_at: pull.createdAt,
      updated_at: pull.updatedAt,
      closed_at: pull.closedAt,
      merged_at: pull.merge?.at ?? null,
      // On GitHub the commit of refs/pull/N/merge, which is what GITHUB_SHA holds in a pull_request run.
      merge_commit_sha:
        pull.merge?.sha ?? objectIdFor(`merge ${pull.number} ${pull.headSha} ${pull.baseSha}`),
      assignee: null,
      assignees: [],
      requested_reviewers: [],
      requested_teams: [],
      labels: [],
      milestone: null,
      draft: false,
      commits_url: `${url}/commits`,
      review_comments_url: `${url}/comments`,
      review_comment_url: `${api}/pulls/comments{/number}`,
      comments_url: `${issueUrl}/comments`,
      statuses_url: `${api}/statuses/${pull.headSha}`,
      head: {
        ...end(pull.headRef, pull.headSha, pull.headRepository, pull.pushedAt),
        ...(pull.isHeadGone ? { repo: null as unknown as PullListDocument['head']['repo'] } : {}),
      },
      base: end(pull.baseRef, pull.baseSha, options.repository),
      _links: {
        self: { href: url },
        html: { href: htmlUrl },
        issue: { href: issueUrl },
        comments: { href: `${issueUrl}/comments` },
        review_comments: { href: `${url}/comments` },
        review_comment: { href: `${api}/pulls/comments{/number}` },
        commits: { href: `${url}/commits` },
        statuses: { href: `${api}/statuses/${pull.headSha}` },
      },
      author_association: 'CONTRIBUTOR',
      auto_merge: null,
    };
  };

  return {
    user,
    repository,
    files,
    pullInList,
    commit: commitDocument,

    ownUser(login) {
      return {
        ...user(login),
        name: login,
        company: null,
        blog: '',
        location: null,
        email: null,
        hireable: null,
        bio: null,
        public_repos: 0,
        public_gists: 0,
        followers: 0,
        following: 0,
        created_at: since,
        updated_at: since,
        private_gists: 0,
        total_private_repos: 0,
        owned_private_repos: 0,
        disk_usage: 0,
        collaborators: 0,
        two_factor_authentication: true,
        user_view_type: 'private',
      };
    },

    comment(comment) {
      return {
        url: `${api}/issues/comments/${comment.id}`,
        html_url: `${web}/pull/${comment.pull}#issuecomment-${comment.id}`,
        issue_url: `${api}/issues/${comment.pull}`,
        id: comment.id,
        node_id: nodeId('IC', comment.id),
        user: user(comment.author),
        created_at: comment.createdAt,
        updated_at: comment.updatedAt,
        body: comment.body,
        author_association: comment.author.endsWith('[bot]') ? 'NONE' : 'CONTRIBUTOR',
        performed_via_github_app: null,
      };
    },

    commitWithFiles(commit, changes) {
      const additions = changes.reduce((sum, change) => sum + change.additions, 0);
      const deletions = changes.reduce((sum, change) => sum + change.deletions, 0);
      return {
        ...commitDocument(commit),
        stats: { total: additions + deletions, additions, deletions },
        files: files(changes, commit.sha),
      };
    },

    gitCommit(commit) {
      return {
        sha: commit.sha,
        node_id: nodeId('C', commit.sha),
        url: `${api}/git/commits/${commit.sha}`,
        html_url: `${web}/commit/${commit.sha}`,
        author: { ...commit.author },
        committer: { ...commit.committer },
        tree: { sha: commit.tree, url: `${api}/git/trees/${commit.tree}` },
        message: commit.message,
        parents: parentsOf(commit, 'git/commits'),
        verification,
      };
    },

    pull(pull, counts) {
      const { head, base, ...rest } = pullInList(pull);
      return {
        ...rest,
        head: head as unknown as PullDocument['head'],
        base: base as unknown as PullDocument['base'],
        merged: pull.merge !== undefined,
        mergeable: pull.state === 'open' ? true : null,
        rebaseable: pull.state === 'open' ? true : null,
        mergeable_state: pull.state === 'open' ? 'clean' : 'unknown',
        merged_by: null,
        comments: counts.comments,
        review_comments: 0,
        maintainer_can_modify: false,
        commits: counts.commits,
        additions: counts.additions,
        deletions: counts.deletions,
        changed_files: counts.changedFiles,
      } as PullDocument;
    },

    content(entry, ref) {
      const path = entry.path.split('/').map(encodeURIComponent).join('/');
      const url = `${api}/contents/${path}?ref=${encodeURIComponent(ref)}`;
      const gitUrl = `${api}/git/${entry.type === 'dir' ? 'trees' : 'blobs'}/${entry.sha}`;
      const htmlUrl = `${web}/${entry.type === 'dir' ? 'tree' : 'blob'}/${encodeURIComponent(ref)}/${path}`;
      return {
        name: entry.name,
        path: entry.path,
        sha: entry.sha,
        size: entry.size,
        url,
        html_url: htmlUrl,
        git_url: gitUrl,
        download_url: entry.type === 'dir' ? null : `${web}/raw/${encodeURIComponent(ref)}/${path}`,
        type: entry.type,
        _links: { self: url, git: gitUrl, html: htmlUrl },
      };
    },
  };
}
