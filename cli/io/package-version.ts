import { readOwnFile } from './own-file.ts';

/** Our version. It stands in a manifest of our own folder: a repository that holds a copy has a version of its own. */
export function readPackageVersion(): string {
  const { version } = JSON.parse(readOwnFile('cli/package.json')) as { version: string };
  return version;
}
