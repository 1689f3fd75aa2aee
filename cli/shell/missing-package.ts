import { EXIT_CODES } from './exit-code.ts';

/**
 * Tells that a package is not installed, and how it gets there: packages are loaded before there is anybody else to tell
 * it.
 *
 * @throws the error where it is another one
 */
export function explainMissingPackage(error: unknown): void {
  // Of an import, and of a require.
  const [, name] = /^Cannot find (?:package|module) '([^']+)'/.exec(String((error as Error)?.message)) ?? [];
  if (name === undefined || /^[./]|^file:/.test(name)) throw error;
  process.stderr.write(
    `error: the package ${name} is not installed\nRun npm ci in the folder that holds package.json, then this again.\n`,
  );
  process.exitCode = EXIT_CODES.usage;
}
