import type { Config } from './config.ts';

/** What a commit status may be called. */
export const STATUS_CONTEXT_WORDS = 'must be one line of at most 255 characters';

/** Whether GitHub takes it as the context of a commit status. */
export function isStatusContext(text: string): boolean {
  return text.trim() !== '' && [...text].length <= 255 && !/[\p{Cc}\u2028\u2029]/u.test(text);
}

/** With `detach` nobody looks at a job any more: the commit status tells the verdict, whatever it is called. */
const DETACHED_CONTEXT = 'ClearML';

/** The context of the commit status that the settings ask for: `detach: true` implies one. */
export function statusContextOf({ status, detach }: Pick<Config, 'status' | 'detach'>): string | undefined {
  return status ?? (detach === true ? DETACHED_CONTEXT : undefined);
}
