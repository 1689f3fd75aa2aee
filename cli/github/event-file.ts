import { readFile } from 'node:fs/promises';
import type { Environment } from '../shell/environment.ts';
import { EXIT_CODES } from '../shell/exit-code.ts';
import { Failure } from '../shell/failure.ts';

/** The parsed event file that `GITHUB_EVENT_PATH` names; undefined where it names none. */
export async function readEventFile(env: Environment): Promise<unknown> {
  const path = env.GITHUB_EVENT_PATH;
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw failEventFile('cannot be read', cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw failEventFile('is no JSON', cause);
  }
}

function failEventFile(what: string, cause: unknown): Failure {
  return new Failure(`the event file that GITHUB_EVENT_PATH names ${what}`, {
    exitCode: EXIT_CODES.usage,
    remedy:
      'The runner sets GITHUB_EVENT_PATH; outside Actions, leave it out or let it name a real event file.',
    cause,
  });
}
