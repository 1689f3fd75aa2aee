import { appendFile } from 'node:fs/promises';
import { describeSystemError, EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';

/** Whose files they are, and what must not stand in them: a later step may post whatever it is handed. */
type Owner = Pick<Session, 'env' | 'redact'>;

/**
 * Hands outputs to later steps, all in one write so that none is half there. Outside Actions nothing happens.
 *
 * The format and its rule (a delimiter that occurs in neither name nor value) are those of `actions/toolkit`'s
 * `core/file-command.ts`.
 */
export async function writeOutputs(owner: Owner, outputs: Readonly<Record<string, string>>): Promise<void> {
  const text = Object.entries(outputs)
    .map(([name, value]) => {
      const delimiter = `ghadelimiter_${crypto.randomUUID()}`;
      return `${name}<<${delimiter}\n${value}\n${delimiter}\n`;
    })
    .join('');
  await appendToRunnerFile(owner, 'GITHUB_OUTPUT', text);
}

/** Adds Markdown to the job summary. Outside Actions nothing happens. */
export async function writeSummary(owner: Owner, markdown: string): Promise<void> {
  await appendToRunnerFile(owner, 'GITHUB_STEP_SUMMARY', `${markdown.trimEnd()}\n`);
}

async function appendToRunnerFile(
  { env, redact }: Owner,
  variable: 'GITHUB_OUTPUT' | 'GITHUB_STEP_SUMMARY',
  text: string,
): Promise<void> {
  const file = env[variable];
  if (file === undefined || text === '') return;
  try {
    await appendFile(file, redact(text), 'utf8');
  } catch (cause) {
    throw new Failure(`${variable} names a file that cannot be written (${describeSystemError(cause)})`, {
      exitCode: EXIT_CODES.usage,
      remedy: `The runner sets ${variable}; outside Actions, let it name a file in a folder that exists, or leave it out.`,
      cause,
    });
  }
}
