import { existsSync, readFileSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { describeReadError, failUsage } from './failure.ts';

/** The build defines this in each bundled program. It does not exist when the source is run. */
declare const BUNDLED_FILES: Readonly<Record<OwnFile, string>> | undefined;

/** Files of this package that a program reads. */
export const OWN_FILES = ['cli/package.json', 'templates/comment.md', 'templates/summary.md'] as const;

type OwnFile = (typeof OWN_FILES)[number];

/** The text of a file of this package. */
export function readOwnFile(path: OwnFile): string {
  if (typeof BUNDLED_FILES !== 'undefined') return BUNDLED_FILES[path];
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** Our version, from `cli/package.json`: a repository that holds a copy of us has a version of its own. */
export function readPackageVersion(): string {
  const { version } = JSON.parse(readOwnFile('cli/package.json')) as { version: string };
  return version;
}

/** The nearest folder at or above `cwd` that holds `.git`, else `cwd`. */
export function findCheckoutRoot(cwd: string): string {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git'))) return folder;
    if (dirname(folder) === folder) return resolve(cwd);
  }
}

/**
 * Reads a file that the user named. A link in the checkout may not lead out of it: a pull request could link to a file of
 * the runner, such as `/proc/self/environ`, and we show what we read.
 *
 * @param path relative to `cwd`, or absolute
 * @throws Failure (usage) when a link leads out of the checkout; the system's error when the file can't be read
 */
export async function readNamedFile(cwd: string, path: string): Promise<string> {
  const root = findCheckoutRoot(cwd);
  const location = resolve(cwd, path);
  const file = await followLinks(root, location);
  if (liesIn(root, location) && !file.isInside) {
    throw failUsage(
      `${path} is a link that leads out of the checkout`,
      'Commit the file itself. Such a link could expose files of the runner.',
    );
  }
  return readFile(file.path, 'utf8');
}

/**
 * Reads the requirements file that goes with the task. It must lie inside the checkout, for the same reason.
 *
 * @param path relative to the checkout's root
 * @throws Failure (usage)
 */
export async function readRequirementsFile(root: string, path: string): Promise<string> {
  try {
    const file = await followLinks(root, resolve(root, path));
    if (file.isInside) return await readFile(file.path, 'utf8');
  } catch (cause) {
    throw failUsage(
      `the requirements file "${path}" ${describeReadError(cause)}`,
      "Give its path relative to the repository's root. Without the setting the agent reads requirements.txt.",
      cause,
    );
  }
  throw failUsage(
    `the requirements file "${path}" lies outside the checkout`,
    "Give its path relative to the repository's root. A link may not lead out of the repository.",
  );
}

/** The path with all links followed, and whether it is in the checkout. */
async function followLinks(root: string, location: string) {
  const [realRoot, path] = await Promise.all([realpath(root), realpath(location)]);
  return { path, isInside: liesIn(realRoot, path) };
}

/** Whether a path is a folder or lies in it; both absolute. */
function liesIn(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way.split(/[\\/]/)[0] !== '..' && !isAbsolute(way);
}
