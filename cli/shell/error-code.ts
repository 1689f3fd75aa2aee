/**
 * The system's code of an error (`ENOENT`), else its message. Does not ask `instanceof Error`: an error may come from
 * another realm, as Node's own do in a test runner.
 */
export function describeSystemError(error: unknown): string {
  return readErrorCode(error) ?? (hasMessage(error) ? error.message : String(error));
}

/** Why a file could not be read, as the end of a sentence that begins with its name. */
export function describeReadError(error: unknown): string {
  switch (readErrorCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist';
    case 'EISDIR':
      return 'is a folder, not a file';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this user';
    default:
      return `cannot be read (${describeSystemError(error)})`;
  }
}

/** The `code` that Node and its libraries put on errors. */
export function readErrorCode(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

function hasMessage(error: unknown): error is { readonly message: string } {
  return (
    typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string'
  );
}
