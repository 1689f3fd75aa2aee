import { identifyRepository } from '../shell/git-url.ts';

/** The scope of baselines, history, superseding and the comment. A fork's pull request belongs to its base repository. */
export interface Pipeline {
  /** host/owner/name in lower case. */
  readonly repository: string;
  readonly project: string;
  readonly taskName: string;
}

/**
 * The pipeline's repository: the workflow's, else the cloned one. Both are host/owner/name, so that a launch from a
 * laptop finds the workflow's tasks.
 *
 * @param repository `owner/name` of the workflow's repository
 * @param serverUrl GitHub's address
 */
export function identifyPipelineRepository(
  repository: string | undefined,
  serverUrl: string,
  cloneUrl: string | undefined,
): string {
  if (repository !== undefined) return identifyRepository(`${serverUrl}/${repository}`);
  return cloneUrl === undefined ? '' : identifyRepository(cloneUrl);
}

/** The pipeline's id in a task's `runtime`: 32 hexadecimal digits. */
export async function hashPipeline(pipeline: Pipeline): Promise<string> {
  return hashText(JSON.stringify([pipeline.repository, pipeline.project, pipeline.taskName]));
}

/** The first 128 bits of the text's SHA-256, as 32 hexadecimal digits. */
export async function hashText(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
