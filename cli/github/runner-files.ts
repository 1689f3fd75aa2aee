import { appendFile } from 'node:fs/promises';
import { describeSystemError, failUsage } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';

/** The run whose files they are. Secrets are removed: a later step may post what it gets. */
type Owner = Pick<Session, 'env' | 'redact'>;

/**
 * Writes the step's outputs, all in one write so that none is incomplete. Does nothing outside Actions. Format and
 * random delimiter are those of actions/toolkit's `core/file-command.ts`.
 */
export async function writeOutputs(owner: Owner, outputs: Readonly<Record<string, string>>): Promise<void> {
  await appendToRunnerFile(owner, 'GITHUB_OUTPUT', formatValues(outputs));
}

/** Saves what an action's `post` finds as variables `STATE_name`. Does nothing outside Actions. */
export async function saveState(owner: Owner, values: Readonly<Record<string, string>>): Promise<void> {
  await appendToRunnerFile(owner, 'GITHUB_STATE', formatValues(values));
}

function formatValues(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => {
      const delimiter = `ghadelimiter_${crypto.randomUUID()}`;
      return `${name}<<${delimiter}\n${value}\n${delimiter}\n`;
    })
    .join('');
}

/** Adds Markdown to the job summary, and a blank line: HTML at its end would take in what is added next. Does nothing outside Actions. */
export async function writeSummary(owner: Owner, markdown: string): Promise<void> {
  await appendToRunnerFile(owner, 'GITHUB_STEP_SUMMARY', `${markdown.trimEnd()}\n\n`);
}

async function appendToRunnerFile(
  { env, redact }: Owner,
  variable: 'GITHUB_OUTPUT' | 'GITHUB_STATE' | 'GITHUB_STEP_SUMMARY',
  text: string,
): Promise<void> {
  const file = env[variable];
  if (file === undefined || text === '') return;
  try {
    await appendFile(file, redact(text), 'utf8');
  } catch (cause) {
    throw failUsage(
      `${variable} names a file that cannot be written (${describeSystemError(cause)})`,
      `The runner sets ${variable}. Outside Actions, leave it out or set it to a file in an existing folder.`,
      cause,
    );
  }
}
