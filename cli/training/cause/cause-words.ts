import type { Cause } from './cause.ts';

/** `training: ValueError: bad learning rate (train_model.py:13)`: the cause in one line. */
export function formatCause(cause: Cause): string {
  return `${cause.kind}: ${cause.message}${formatPlace(cause)}`;
}

/** ` (train_model.py:13)`, or nothing. */
export function formatPlace({ file, line }: Pick<Cause, 'file' | 'line'>): string {
  return file === undefined ? '' : ` (${file}${line === undefined ? '' : `:${line}`})`;
}
