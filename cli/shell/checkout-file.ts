import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { EXIT_CODES } from './exit-code.ts';
import { Failure } from './failure.ts';

/** The nearest folder at or above `cwd` that holds `.git`, else `cwd`. */
export function findCheckoutRoot(cwd: string): string {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git'))) return folder;
    if (dirname(folder) === folder) return resolve(cwd);
  }
}

/** Whether a path lies in a folder, or is it; both absolute. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way.split(/[\\/]/)[0] !== '..' && !isAbsolute(way);
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
  const [realRoot, file] = await Promise.all([realpath(root), realpath(location)]);
  if (isInside(root, location) && !isInside(realRoot, file)) {
    throw new Failure(`${path} is a link that leads out of the checkout`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Put the file itself into the repository: a pull request could link to files of the runner.',
    });
  }
  return readFile(file, 'utf8');
}
