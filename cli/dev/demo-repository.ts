import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { toSingleLine } from '../text/single-line.ts';

/** A scratch clone of the checkout, in which the demo commits the states it needs. The checkout itself is not touched. */
export interface DemoRepository {
  readonly directory: string;
  /** What an agent clones. */
  readonly cloneUrl: string;
  /** The checkout's commit, where the base branch begins. */
  readonly baseCommit: string;
  /** Checks out a branch. Creates a missing one at the base branch's newest commit, and returns that it did. */
  checkOut(branch: string): Promise<boolean>;
  /** Makes the changes, and commits them on the branch that is checked out. */
  commit(message: string, edits: readonly DemoEdit[]): Promise<DemoCommit>;
  /** Merges a branch into the base branch, which is then checked out, as GitHub's button does; gives the commit. */
  merge(branch: string, message: string): Promise<string>;
}

export interface DemoEdit {
  readonly file: string;
  /** What stands there, once. */
  readonly from: RegExp;
  /** What it becomes; may name the pattern's groups. */
  readonly to: string;
}

export interface DemoCommit {
  readonly id: string;
  /** Its diff without context: the lines that begin with + or -. */
  readonly changes: readonly string[];
}

export const BASE_BRANCH = 'main';
const SETTINGS = '.github/clearml-ci.yml';
const TRAINING = 'train_model.py';

/** What a user does who switches the gate on: the settings file has the lines, as comments. */
export const GATE_EDIT: DemoEdit = { file: SETTINGS, from: /# (gate: fail) {2}/, to: '$1    ' };
export const SEEDS_EDIT: DemoEdit = { file: SETTINGS, from: /# (seeds: 3) {2}/, to: '$1    ' };
/** A comment line before the first function: nothing that decides the result. */
export const COMMENT_EDIT: DemoEdit = {
  file: TRAINING,
  from: /^def main/m,
  to: "# Attaches to the agent's task, trains, and hands the model over.\ndef main",
};

/** A param gets another name, but for the line that uses it: the training fails there. */
export const BREAKING_EDIT: DemoEdit = { file: TRAINING, from: /"--weight_decay"/, to: '"--l2_penalty"' };

/** Another default of one of the training's arguments. */
export function editDefault(argument: string, value: number): DemoEdit {
  return { file: TRAINING, from: new RegExp(`("--${argument}".*\\bdefault=)[\\d.e-]+`), to: `$1${value}` };
}

/**
 * Clones the checkout's HEAD, as branch `main`.
 *
 * @param directory where to; it is made, and the caller's to remove
 * @param signal aborted: whatever is asked of it throws the signal's reason
 * @throws Failure where the checkout is not a git repository or has no commit
 */
export async function createDemoRepository(
  checkout: string,
  directory: string,
  signal?: AbortSignal,
): Promise<DemoRepository> {
  let root: string;
  try {
    root = await git(checkout, signal, 'rev-parse', '--show-toplevel');
    await git(checkout, signal, 'rev-parse', '--verify', 'HEAD^{commit}');
  } catch (cause) {
    signal?.throwIfAborted();
    const { stderr } = cause as { stderr?: unknown };
    const reason = toSingleLine(typeof stderr === 'string' ? stderr : '');
    throw new Failure(
      `this folder is not a git checkout with a commit${reason === '' ? '' : ` (${reason})`}`,
      {
        exitCode: EXIT_CODES.usage,
        remedy:
          'The demo clones the commit here: run it in a clone (git clone …), or commit first (git init && git add -A && git commit).',
        cause,
      },
    );
  }
  const run = (...args: string[]) => git(directory, signal, ...args);
  try {
    mkdirSync(directory);
    await run('init', '--quiet', `--initial-branch=${BASE_BRANCH}`);
    // A fetch by path takes shallow and detached checkouts as they are.
    await run('fetch', '--quiet', '--update-shallow', root, 'HEAD');
    await run('reset', '--quiet', '--hard', 'FETCH_HEAD');
    readFileSync(join(directory, TRAINING));
    const baseCommit = await run('rev-parse', 'HEAD');
    return { ...describeRepository(directory, run), baseCommit };
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Failure('the checkout could not be cloned, or it has no train_model.py at its root', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Run the demo in a clone of this project, not in a folder of another repository.',
      cause,
    });
  }
}

function describeRepository(
  directory: string,
  run: (...args: string[]) => Promise<string>,
): Omit<DemoRepository, 'baseCommit'> {
  return {
    directory,
    cloneUrl: pathToFileURL(directory).href,
    async checkOut(branch) {
      const isNew = (await run('branch', '--list', branch)) === '';
      await run('checkout', '--quiet', ...(isNew ? ['-b', branch, BASE_BRANCH] : [branch]));
      return isNew;
    },
    async commit(message, edits) {
      for (const edit of edits) applyEdit(directory, edit);
      await run('commit', '--quiet', '--all', '-m', message);
      const diff = await run('show', '--format=', '--unified=0', '--no-color', '--no-ext-diff', 'HEAD');
      return {
        id: await run('rev-parse', 'HEAD'),
        changes: diff.split('\n').filter((line) => /^[+-](?!\+\+|--)/.test(line)),
      };
    },
    async merge(branch, message) {
      await run('checkout', '--quiet', BASE_BRANCH);
      await run('merge', '--quiet', '--no-ff', '-m', message, branch);
      return run('rev-parse', 'HEAD');
    },
  };
}

function applyEdit(directory: string, { file, from, to }: DemoEdit): void {
  const path = join(directory, file);
  const text = readFileSync(path, 'utf8');
  const changed = text.replace(from, to);
  if (changed === text) {
    throw new Failure(`${file} does not contain ${from}, or already has the demo's change`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'The demo changes files of this project: run it in an unchanged clone.',
    });
  }
  writeFileSync(path, changed);
}

/** Count of the checkout's files with uncommitted changes, which the demo does not have. */
export async function countUncommittedFiles(checkout: string, signal?: AbortSignal): Promise<number> {
  const status = await git(checkout, signal, 'status', '--porcelain');
  return status.split('\n').filter((line) => line !== '').length;
}

/** Nobody's signing, hooks or names take part. */
const SETTINGS_OF_GIT = [
  ['user.name', 'Demo'],
  ['user.email', 'demo@example.com'],
  ['commit.gpgsign', 'false'],
  ['core.hooksPath', '/dev/null'],
].flatMap(([name, value]) => ['-c', `${name}=${value}`]);

const execute = promisify(execFile);

/** Runs git and gives its output, trimmed. */
async function git(directory: string, signal: AbortSignal | undefined, ...args: string[]): Promise<string> {
  signal?.throwIfAborted();
  // A git hook that runs the demo exports GIT_DIR: without this the wrong repository would be changed.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
  try {
    const { stdout } = await execute('git', [...SETTINGS_OF_GIT, ...args], {
      cwd: directory,
      env: Object.fromEntries(inherited),
    });
    return stdout.trim();
  } finally {
    // Ctrl-C reaches git too: where that ended it, our own handler of the signal has its turn first.
    await nextTurn();
    signal?.throwIfAborted();
  }
}
