import { ClearmlApiError } from './clearml-error.ts';
import type { Steps } from './clearml-steps.ts';

/** What the endpoints in `_many` answer. */
export interface BatchReply {
  readonly failed: Record<string, unknown>[];
  readonly succeeded: Record<string, unknown>[];
}

/** Does the same to each task, one after the other: failures are listed, not thrown (recordings 269, 270). */
export function* eachTask(
  ids: readonly string[],
  change: (id: string) => Steps<Record<string, unknown>>,
): Steps<BatchReply> {
  const reply: BatchReply = { failed: [], succeeded: [] };
  for (const id of ids) {
    try {
      reply.succeeded.push({ id, ...(yield* change(id)) });
    } catch (error) {
      if (!(error instanceof ClearmlApiError)) throw error;
      const { code, subcode, message, details } = error;
      reply.failed.push({ id, error: { codes: [code, subcode], msg: message, data: details } });
    }
  }
  return reply;
}
