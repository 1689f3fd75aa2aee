import { readOwnFile } from './own-file.ts';

/** The version in our own package.json; read only where `--version` may be asked for. */
export function readPackageVersion(): string {
  const { version } = JSON.parse(readOwnFile('package.json')) as { version: string };
  return version;
}
