import { readFile, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { describeReadError } from './error-code.ts';
import { EXIT_CODES } from './exit-code.ts';
import { Failure } from './failure.ts';

/**
 * Reads the requirements file that goes with the task. Links are followed, and the file must lie inside the checkout:
 * a pull request could commit a link to a file of the runner's.
 *
 * @param path relative to the checkout's root
 * @throws Failure (usage)
 */
export async function readRequirementsFile(root: string, path: string): Promise<string> {
  let file: string;
  try {
    const base = await realpath(root);
    file = await realpath(resolve(base, path));
    const inside = relative(base, file);
    if (inside.startsWith('..') || isAbsolute(inside)) {
      throw new Failure(`the requirements file "${path}" lies outside the checkout`, {
        exitCode: EXIT_CODES.usage,
        remedy: 'Give a file of the repository, relative to its root; a link must not lead out of it.',
      });
    }
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(`the requirements file "${path}" ${describeReadError(cause)}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Give a file of the repository, relative to its root, or leave the setting out: the agent then reads the repository’s own requirements.txt.',
      cause,
    });
  }
}
