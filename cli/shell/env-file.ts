import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, isActions, mergeEnvironments } from './environment.ts';

/**
 * The environment of a run: what is set, and outside Actions what a `.env` file in the working directory adds. In
 * Actions the file is not read: a pull request could commit one that sends the keys elsewhere.
 */
export async function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<Environment> {
  const set = mergeEnvironments(env);
  if (isActions(set)) return set;
  let text: string;
  try {
    text = await readFile(join(cwd, '.env'), 'utf8');
  } catch {
    return set;
  }
  // Loaded only where there is a file.
  const { parse } = await import('dotenv');
  return mergeEnvironments(env, parse(text));
}
