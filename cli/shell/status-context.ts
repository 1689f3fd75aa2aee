/** What a commit status may be called. */
export const STATUS_CONTEXT_WORDS = 'must be one line of at most 255 characters';

/** Whether GitHub takes it as the context of a commit status. */
export function isStatusContext(text: string): boolean {
  return text.trim() !== '' && [...text].length <= 255 && !/[\p{Cc}\u2028\u2029]/u.test(text);
}
