import { existsSync, readFileSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { describeReadError, EXIT_CODES, Failure } from './failure.ts';

/** The build puts the files into each bundled program and defines this; run from the source there is no such thing. */
declare const BUNDLED_FILES: Readonly<Record<OwnFile, string>> | undefined;

/** Files of this package that a program reads. */
export const OWN_FILES = ['cli/package.json', 'templates/comment.md', 'templates/summary.md'] as const;

type OwnFile = (typeof OWN_FILES)[number];

/** The text of a file of this package. */
export function readOwnFile(path: OwnFile): string {
  if (typeof BUNDLED_FILES !== 'undefined') return BUNDLED_FILES[path];
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** Our version. It stands in a manifest of our own folder: a repository that holds a copy has a version of its own. */
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
 * Reads a file that somebody named. Where it lies in the checkout, links are followed within the checkout only: a pull
 * request could commit a link to a file of the runner's, `/proc/self/environ` say, and what we read is shown.
 *
 * @param path relative to `cwd`, or absolute
 * @throws Failure (usage) when a link leads out of the checkout; the system's error when the file can't be read
 */
export async function readNamedFile(cwd: string, path: string): Promise<string> {
  const root = findCheckoutRoot(cwd);
  const location = resolve(cwd, path);
  const file = await followLinks(root, location);
  if (liesIn(root, location) && !file.isInside) {
    throw new Failure(`${path} is a link that leads out of the checkout`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Put the file itself into the repository: a pull request could link to files of the runner.',
    });
  }
  return readFile(file.path, 'utf8');
}

/**
 * Reads the requirements file that goes with the task. It must lie inside the checkout, links followed, for the same
 * reason.
 *
 * @param path relative to the checkout's root
 * @throws Failure (usage)
 */
export async function readRequirementsFile(root: string, path: string): Promise<string> {
  try {
    const file = await followLinks(root, resolve(root, path));
    if (file.isInside) return await readFile(file.path, 'utf8');
  } catch (cause) {
    throw new Failure(`the requirements file "${path}" ${describeReadError(cause)}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Give a file of the repository, relative to its root, or leave the setting out: the agent then reads the repository’s own requirements.txt.',
      cause,
    });
  }
  throw new Failure(`the requirements file "${path}" lies outside the checkout`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give a file of the repository, relative to its root; a link must not lead out of it.',
  });
}

/** Where a path leads, and whether that is in the checkout. */
async function followLinks(root: string, location: string) {
  const [realRoot, path] = await Promise.all([realpath(root), realpath(location)]);
  return { path, isInside: liesIn(realRoot, path) };
}

/** Whether a path lies in a folder, or is it; both absolute. */
function liesIn(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way.split(/[\\/]/)[0] !== '..' && !isAbsolute(way);
}
