import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { runCommand } from './command-run.ts';
import { findPython, type Python } from './required-tools.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What is installed beside the training's own requirements: the agent that runs it, and GitHub's Markdown parser. */
const TOOLS = ['clearml-agent==3.0.3', 'cmarkgfm==2025.10.22'];

const LAST_LINES = 15;

/** A Python environment in which the training runs, the agent too. */
export interface PythonEnvironment {
  /** Absolute path of its interpreter. */
  readonly python: string;
  /** Whether it was there before. */
  readonly isReused: boolean;
}

export interface PythonEnvironmentOptions {
  /** Hears what is being done, a line at a time. */
  readonly onProgress?: (message: string) => void;
  /** Aborted: the installation ends and leaves nothing behind. */
  readonly signal?: AbortSignal;
  /** Default: the checkout's `requirements.txt`. */
  readonly requirementsFile?: string;
  /** Default: `TOOLS`. */
  readonly tools?: readonly string[];
  /** Default: `.cache` in the checkout. */
  readonly cacheDirectory?: string;
  /** Of the commands; default: ours. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * The environment with everything that train_model.py needs: made at the first call, which takes half a minute and the
 * network, and found again by the next ones as long as neither the requirements nor the Python change.
 *
 * @throws Failure where Python is missing or too old, it cannot make environments, or the installation fails
 */
export async function preparePythonEnvironment(
  options: PythonEnvironmentOptions = {},
): Promise<PythonEnvironment> {
  const { requirementsFile = join(ROOT, 'requirements.txt'), tools = TOOLS } = options;
  const { cacheDirectory = join(ROOT, '.cache') } = options;
  const base = await findPython(options.env);
  const key = createHash('sha256')
    .update(JSON.stringify([readFileSync(requirementsFile, 'utf8'), tools, base, process.platform]))
    .digest('hex')
    .slice(0, 12);
  const directory = join(cacheDirectory, `python-${key}`);
  const python = interpreterIn(directory);
  if (existsSync(python)) return { python, isReused: true };

  // An environment can't be moved, so each caller makes its own under a random name. The first complete one gets the
  // final name; a later one is removed.
  mkdirSync(cacheDirectory, { recursive: true });
  const own = `${directory}-${randomBytes(4).toString('hex')}`;
  try {
    await makeEnvironment(base, own, options);
    await installPackages(interpreterIn(own), ['-r', requirementsFile, ...tools], options);
    if (!tryLink(own, directory)) {
      if (existsSync(python)) rmSync(own, { recursive: true });
      else replaceLink(own, directory);
    }
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    throw error;
  }
  return { python, isReused: false };
}

/** Whether the name was free. */
function tryLink(target: string, name: string): boolean {
  try {
    symlinkSync(target, name, 'junction');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** For a link that leads nowhere: somebody removed the environment, and left the link. */
function replaceLink(target: string, name: string): void {
  symlinkSync(target, `${target}-link`, 'junction');
  renameSync(`${target}-link`, name);
}

function interpreterIn(directory: string): string {
  return process.platform === 'win32'
    ? join(directory, 'Scripts', 'python.exe')
    : join(directory, 'bin', 'python');
}

async function makeEnvironment(
  base: Python,
  directory: string,
  options: PythonEnvironmentOptions,
): Promise<void> {
  options.onProgress?.(`Making a Python ${base.version} environment`);
  const run = await runCommand(base.executable, ['-m', 'venv', directory], options);
  if (run?.exitCode === 0) return;
  throw new Failure(`${base.executable} cannot make a Python environment: ${lastLines(run?.output)}`, {
    exitCode: EXIT_CODES.usage,
    remedy:
      'Some systems ship Python without its venv and pip parts: install them ' +
      '(Debian and Ubuntu: sudo apt install python3-venv) and run this again.',
  });
}

async function installPackages(
  python: string,
  packages: readonly string[],
  options: PythonEnvironmentOptions,
): Promise<void> {
  const { onProgress } = options;
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--progress-bar', 'off'];
  const run = await runCommand(python, [...pip, ...packages], {
    ...options,
    onLine: (line) => {
      if (/^(Collecting|Downloading|Building|Installing)\b/.test(line.trim())) onProgress?.(line.trim());
    },
  });
  if (run?.exitCode === 0) return;
  throw new Failure(`pip could not install what the training needs: ${lastLines(run?.output)}`, {
    exitCode: EXIT_CODES.unavailable,
    remedy:
      'Usually the package index cannot be reached, or has no build for this Python and machine. pip reads its usual ' +
      'settings (PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY); mend what its last lines say and run this again.',
  });
}

function lastLines(output: string | undefined): string {
  return `\n${(output ?? '').trim().split('\n').slice(-LAST_LINES).join('\n')}`;
}
