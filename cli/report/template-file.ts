import { describeReadError, EXIT_CODES, Failure } from '../shell/failure.ts';
import { readNamedFile, readOwnFile } from '../shell/files.ts';
import type { Template } from './template.ts';

/** The comment's template: the user's own, else ours. @throws Failure (usage) when it can't be read */
export async function readCommentTemplate(cwd: string, path: string | undefined): Promise<Template> {
  return path === undefined ? readOwnTemplate('templates/comment.md') : readTemplate(cwd, path);
}

/** The job summary's template. */
export async function readSummaryTemplate(): Promise<Template> {
  return readOwnTemplate('templates/summary.md');
}

function readOwnTemplate(name: 'templates/comment.md' | 'templates/summary.md'): Template {
  return { name, text: readOwnFile(name) };
}

async function readTemplate(cwd: string, name: string): Promise<Template> {
  try {
    return { name, text: await readNamedFile(cwd, name) };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(`the template ${name} ${describeReadError(cause)}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Give --template a file relative to the working directory; templates/comment.md is one to start from.',
      cause,
    });
  }
}
