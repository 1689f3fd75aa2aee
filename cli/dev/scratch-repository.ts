import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A git repository in a temporary directory, with made-up authors and times, so that commit ids are the same everywhere. */
export interface ScratchRepository {
  readonly directory: string;
  /** Runs git there and gives its output, trimmed. */
  git(...args: string[]): string;
  /** Writes the files (`null` deletes one), commits all of them on the present branch and gives the commit id. */
  commit(message: string, files: Readonly<Record<string, string | null>>): string;
  remove(): void;
}

/** Makes an empty repository whose first branch is `main`. Each commit is a minute younger than the one before. */
export function createScratchRepository(parentDirectory = tmpdir()): ScratchRepository {
  const directory = mkdtempSync(join(parentDirectory, 'clearml-ci-repository-'));
  let minute = 0;
  const git = (...args: string[]): string => {
    // Nobody's own git settings (signing, hooks, templates) and no surrounding hook's GIT_DIR take part.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
    const date = new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
    return execFileSync('git', args, {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...Object.fromEntries(inherited),
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'Ada Example',
        GIT_AUTHOR_EMAIL: 'ada@example.com',
        GIT_AUTHOR_DATE: date,
        GIT_COMMITTER_NAME: 'Ada Example',
        GIT_COMMITTER_EMAIL: 'ada@example.com',
        GIT_COMMITTER_DATE: date,
      },
    }).trim();
  };
  git('init', '--quiet', '--initial-branch=main');
  return {
    directory,
    git,
    commit(message, files) {
      for (const [path, text] of Object.entries(files)) {
        const file = join(directory, path);
        mkdirSync(dirname(file), { recursive: true });
        if (text === null) rmSync(file);
        else writeFileSync(file, text);
      }
      git('add', '--all');
      git('commit', '--quiet', '--allow-empty', '-m', message);
      minute += 1;
      return git('rev-parse', 'HEAD');
    },
    remove() {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
