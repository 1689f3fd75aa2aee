import { identifyRepository } from '../shell/git-url.ts';

/**
 * What belongs together: baselines, history, superseding and the comment stay within one pipeline. A fork's pull
 * request belongs to its base repository's pipeline.
 */
export interface Pipeline {
  /** host/owner/name in lower case. */
  readonly repository: string;
  readonly project: string;
  readonly taskName: string;
}

/**
 * The pipeline's repository: that of the workflow, else the one cloned. Both give host/owner/name, so that a launch
 * from a laptop finds what the workflow trained.
 *
 * @param repository `owner/name` of the workflow's repository
 * @param serverUrl where GitHub is
 */
export function identifyPipelineRepository(
  repository: string | undefined,
  serverUrl: string,
  cloneUrl: string | undefined,
): string {
  if (repository !== undefined) return identifyRepository(`${serverUrl}/${repository}`);
  return cloneUrl === undefined ? '' : identifyRepository(cloneUrl);
}

/** 32 hexadecimal digits that stand for the pipeline in a task's `runtime`. */
export async function hashPipeline(pipeline: Pipeline): Promise<string> {
  return hashText(JSON.stringify([pipeline.repository, pipeline.project, pipeline.taskName]));
}

/** The first 128 bits of the text's SHA-256, as 32 hexadecimal digits. */
export async function hashText(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
