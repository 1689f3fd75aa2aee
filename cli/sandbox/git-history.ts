import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Who made a commit and when (ISO 8601 in UTC, to the second, as GitHub writes it). */
export interface GitPerson {
  readonly name: string;
  readonly email: string;
  readonly date: string;
}

export interface GitCommit {
  readonly sha: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: GitPerson;
  readonly committer: GitPerson;
  readonly message: string;
}

export interface GitFileChange {
  readonly filename: string;
  readonly previousFilename?: string;
  readonly status: 'added' | 'removed' | 'modified' | 'renamed' | 'changed';
  /** The blob after the change; before it where the file was removed. */
  readonly sha: string;
  readonly additions: number;
  readonly deletions: number;
}

export interface GitTreeEntry {
  readonly name: string;
  readonly path: string;
  readonly type: 'file' | 'dir' | 'symlink' | 'submodule';
  readonly sha: string;
  /** Bytes; 0 for all but files and links. */
  readonly size: number;
}

export interface CommitFilter {
  readonly path?: string;
  readonly author?: string;
  readonly committer?: string;
  /** ISO 8601. */
  readonly since?: string;
  readonly until?: string;
}

/** What a GitHub server knows of a repository's commits, read from a local repository by `git`, without a shell. */
export interface GitHistory {
  /** The commit for a full or shortened id, a branch, a tag, `heads/…`, `tags/…`, or `HEAD`; `undefined` where there is none. */
  resolve(ref: string): Promise<string | undefined>;
  resolveBranch(name: string): Promise<string | undefined>;
  /** In the order asked for. */
  read(shas: readonly string[]): Promise<GitCommit[]>;
  /** A page of the commits reachable from a commit, newest first, and how many there are in all. */
  list(
    sha: string,
    filter: CommitFilter,
    skip: number,
    count: number,
  ): Promise<{ commits: GitCommit[]; total: number }>;
  /** `undefined` where two commits have no common ancestor. */
  mergeBase(a: string, b: string): Promise<string | undefined>;
  /** The commits reachable from `to` but not from `from`, oldest first. */
  between(from: string, to: string): Promise<string[]>;
  isAncestor(ancestor: string, descendant: string): Promise<boolean>;
  /** Files changed between two commits; from nothing where `from` is undefined (a first commit). */
  changes(from: string | undefined, to: string): Promise<GitFileChange[]>;
  /** The file, or the entries of the directory, at a path of a commit; `undefined` where there is none. */
  contents(sha: string, path: string): Promise<GitTreeEntry | GitTreeEntry[] | undefined>;
  blob(sha: string): Promise<Buffer>;
}

const COMMIT_FIELDS = ['%H', '%T', '%P', '%an', '%ae', '%aI', '%cn', '%ce', '%cI', '%B'];
/** The id of git's empty tree: what a first commit is compared with. */
const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
const ENTRY_TYPES: Record<string, GitTreeEntry['type']> = {
  '040000': 'dir',
  '120000': 'symlink',
  '160000': 'submodule',
};

/** Git's `2026-11-24T08:00:00+01:00` as GitHub's `2026-11-24T07:00:00Z`. */
export function formatGithubTime(time: string | number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/** Opens a local repository (a work tree or a bare one), whose `defaultBranch` answers for `HEAD`. */
export function openGitHistory(directory: string, defaultBranch: string): GitHistory {
  // A git hook that runs the tests exports GIT_DIR: without this the wrong repository would be read.
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_')),
  );
  const git = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('git', ['-C', directory, ...args], {
      env: { ...environment, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0' },
      maxBuffer: 256 * 1024 * 1024,
    });
    return stdout;
  };
  /** The output, or `undefined` where git says no (exit code 1 or 128). */
  const gitOrNothing = async (...args: string[]): Promise<string | undefined> => {
    try {
      return (await git(...args)).trim();
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === 1 || code === 128) return undefined;
      throw error;
    }
  };
  const parse = (output: string): GitCommit[] => {
    const fields = output.split('\0');
    const commits: GitCommit[] = [];
    for (let at = 0; at + COMMIT_FIELDS.length <= fields.length; at += COMMIT_FIELDS.length) {
      const [sha, tree, parents, an, ae, aI, cn, ce, cI, body] = fields.slice(
        at,
        at + COMMIT_FIELDS.length,
      ) as [string, string, string, string, string, string, string, string, string, string];
      commits.push({
        sha: sha.trim(),
        tree,
        parents: parents.split(' ').filter((parent) => parent !== ''),
        author: { name: an, email: ae, date: formatGithubTime(aI) },
        committer: { name: cn, email: ce, date: formatGithubTime(cI) },
        message: body.replace(/\n$/, ''),
      });
    }
    return commits;
  };
  const format = `--format=tformat:${COMMIT_FIELDS.join('%x00')}%x00`;

  const resolveBranch = async (name: string): Promise<string | undefined> =>
    isRefName(name)
      ? gitOrNothing('rev-parse', '--verify', '--quiet', `refs/heads/${name}^{commit}`)
      : undefined;

  return {
    resolveBranch,

    async resolve(ref) {
      if (!isRefName(ref)) return undefined;
      const name = ref === 'HEAD' ? defaultBranch : ref;
      const candidates = [`refs/heads/${name}`, `refs/tags/${name}`, `refs/${name}`];
      if (/^[0-9a-f]{7,40}$/.test(name)) candidates.unshift(name);
      for (const candidate of candidates) {
        const sha = await gitOrNothing('rev-parse', '--verify', '--quiet', `${candidate}^{commit}`);
        if (sha !== undefined) return sha;
      }
      return undefined;
    },

    async read(shas) {
      if (shas.length === 0) return [];
      const unique = [...new Set(shas)];
      const found = parse(
        await git('log', '--no-walk=unsorted', format, '--end-of-options', ...unique, '--'),
      );
      return shas.flatMap((sha) => found.find((commit) => commit.sha === sha) ?? []);
    },

    async list(sha, filter, skip, count) {
      const selection = [
        ...(filter.author === undefined ? [] : ['--fixed-strings', `--author=${filter.author}`]),
        ...(filter.committer === undefined ? [] : ['--fixed-strings', `--committer=${filter.committer}`]),
        ...(filter.since === undefined ? [] : [`--since=${filter.since}`]),
        ...(filter.until === undefined ? [] : [`--until=${filter.until}`]),
      ];
      const range = [
        '--end-of-options',
        sha,
        '--',
        ...(filter.path === undefined ? [] : [`:(literal)${filter.path}`]),
      ];
      const [page, total] = await Promise.all([
        git('log', format, `--skip=${skip}`, `--max-count=${count}`, ...selection, ...range),
        git('rev-list', '--count', ...selection, ...range),
      ]);
      return { commits: parse(page), total: Number(total) };
    },

    mergeBase: (a, b) => gitOrNothing('merge-base', a, b),

    async between(from, to) {
      const output = await git(
        'rev-list',
        '--reverse',
        '--topo-order',
        '--end-of-options',
        to,
        `^${from}`,
        '--',
      );
      return output.split('\n').filter((line) => line !== '');
    },

    async isAncestor(ancestor, descendant) {
      return (await gitOrNothing('merge-base', '--is-ancestor', ancestor, descendant)) !== undefined;
    },

    async changes(from, to) {
      const range = [from ?? EMPTY_TREE, to, '--'];
      const [raw, numbers] = await Promise.all([
        git('diff-tree', '-r', '-M', '-z', '--raw', '--no-abbrev', ...range),
        git('diff-tree', '-r', '-M', '-z', '--numstat', ...range),
      ]);
      return parseChanges(raw.split('\0'), numbers.split('\0'));
    },

    async contents(sha, path) {
      const clean = path.replace(/^\/+|\/+$/g, '');
      const list = async (tree: string): Promise<GitTreeEntry[]> =>
        parseTree(await git('ls-tree', '-z', '--long', '--full-tree', tree), clean);
      if (clean === '') return list(sha);
      const parent = clean.includes('/') ? clean.slice(0, clean.lastIndexOf('/')) : '';
      const parentTree = await gitOrNothing('rev-parse', '--verify', '--quiet', `${sha}:${parent}`);
      if (parentTree === undefined) return undefined;
      const siblings = parseTree(await git('ls-tree', '-z', '--long', '--full-tree', parentTree), parent);
      const found = siblings.find((entry) => entry.path === clean);
      return found?.type === 'dir' ? list(found.sha) : found;
    },

    async blob(sha) {
      const { stdout } = await run('git', ['-C', directory, 'cat-file', 'blob', sha], {
        env: { ...environment, LC_ALL: 'C' },
        encoding: 'buffer',
        maxBuffer: 256 * 1024 * 1024,
      });
      return stdout;
    },
  };
}

/** Git's rules for a name (git-check-ref-format), so that no revision syntax such as `main~2` or `a..b` gets through. */
function isRefName(name: string): boolean {
  const isForbidden =
    /^-|[\s~^:?*[\\]|\p{Cc}|\.\.|@\{|\/\/|^\/|\/$|\.$|^@$|\.lock(\/|$)|(^|\/)\./u.test(name) || name === '';
  return !isForbidden;
}

function parseTree(output: string, directory: string): GitTreeEntry[] {
  const entries: GitTreeEntry[] = [];
  for (const line of output.split('\0')) {
    const found = /^(\d{6}) \w+ ([0-9a-f]+) +(\d+|-)\t(.*)$/s.exec(line);
    if (found === null) continue;
    const [, mode, sha, size, name] = found as unknown as [string, string, string, string, string];
    entries.push({
      name,
      path: directory === '' ? name : `${directory}/${name}`,
      type: ENTRY_TYPES[mode] ?? 'file',
      sha,
      size: size === '-' ? 0 : Number(size),
    });
  }
  return entries;
}

function parseChanges(raw: string[], numbers: string[]): GitFileChange[] {
  const counts = new Map<string, { additions: number; deletions: number }>();
  for (let at = 0; at < numbers.length; at++) {
    const [additions, deletions, name] = (numbers[at] ?? '').split('\t');
    if (deletions === undefined || name === undefined) continue;
    // A rename has an empty name here, and the old and the new name in the next two fields. A binary file counts `-`.
    const filename = name === '' ? numbers[at + 2] : name;
    if (name === '') at += 2;
    counts.set(filename ?? '', { additions: Number(additions) || 0, deletions: Number(deletions) || 0 });
  }
  const changes: GitFileChange[] = [];
  for (let at = 0; at < raw.length; at++) {
    const found = /^:\d{6} \d{6} ([0-9a-f]+) ([0-9a-f]+) ([A-Z])/.exec(raw[at] ?? '');
    if (found === null) continue;
    const [, before, after, letter] = found as unknown as [string, string, string, string];
    const first = raw[at + 1] ?? '';
    const isRename = letter === 'R' || letter === 'C';
    const filename = isRename ? (raw[at + 2] ?? '') : first;
    at += isRename ? 2 : 1;
    const statuses: Record<string, GitFileChange['status']> = {
      A: 'added',
      D: 'removed',
      M: 'modified',
      R: 'renamed',
    };
    changes.push({
      filename,
      ...(isRename ? { previousFilename: first } : {}),
      status: statuses[letter] ?? 'changed',
      sha: letter === 'D' ? before : after,
      ...(counts.get(filename) ?? { additions: 0, deletions: 0 }),
    });
  }
  return changes;
}
