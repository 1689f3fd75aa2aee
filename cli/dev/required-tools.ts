import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { runCommand } from './command-run.ts';

/** The oldest that scikit-learn 1.7 runs on. */
const OLDEST_PYTHON = [3, 10] as const;
/** The oldest with `git init --initial-branch`. */
const OLDEST_GIT = [2, 28] as const;

/** Where a system's own python3 is too old, a newer one often lies beside it. */
const PYTHON_NAMES = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python'];

type Environment = Readonly<Record<string, string | undefined>>;

export interface Python {
  /** Absolute path of the interpreter. */
  readonly executable: string;
  /** Such as `3.11.7`. */
  readonly version: string;
}

/**
 * Finds a Python that can train: the first of the usual names on the PATH that is new enough.
 *
 * @throws Failure (usage) where there is none
 */
export async function findPython(env: Environment = process.env): Promise<Python> {
  const program = 'import sys; print(sys.executable); print(".".join(map(str, sys.version_info[:3])))';
  let tooOld: Python | undefined;
  for (const name of PYTHON_NAMES) {
    const run = await runCommand(name, ['-c', program], { env });
    const [executable, version] = run?.exitCode === 0 ? run.output.trim().split(/\r?\n/) : [];
    if (executable === undefined || version === undefined) continue;
    if (isAtLeast(version, OLDEST_PYTHON)) return { executable, version };
    tooOld ??= { executable, version };
  }
  const found =
    tooOld === undefined ? 'not installed' : `too old (${tooOld.executable} is ${tooOld.version})`;
  throw new Failure(`Python is ${found}`, {
    exitCode: EXIT_CODES.usage,
    remedy:
      `The training is a Python program and needs ${OLDEST_PYTHON.join('.')} or newer: install it ` +
      '(Debian and Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python) and run this again.',
  });
}

/**
 * Makes sure that git is there.
 *
 * @returns its version
 * @throws Failure (usage) where it is missing or too old
 */
export async function checkGit(env: Environment = process.env): Promise<string> {
  const run = await runCommand('git', ['--version'], { env });
  const version = /\d+\.\d+(\.\d+)?/.exec(run?.output ?? '')?.[0];
  if (run?.exitCode === 0 && version !== undefined && isAtLeast(version, OLDEST_GIT)) return version;
  const found = version === undefined ? 'not installed' : `too old (${version})`;
  throw new Failure(`git is ${found}`, {
    exitCode: EXIT_CODES.usage,
    remedy:
      `The agent clones the code that it trains with git ${OLDEST_GIT.join('.')} or newer: install it ` +
      '(Debian and Ubuntu: sudo apt install git; macOS: xcode-select --install) and run this again.',
  });
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
