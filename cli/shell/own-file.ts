import { readFileSync } from 'node:fs';

/** The build puts the files into each bundled program and defines this; run from the source there is no such thing. */
declare const BUNDLED_FILES: Readonly<Record<OwnFile, string>> | undefined;

/** Files of this package that a program reads. */
export const OWN_FILES = ['cli/package.json', 'templates/comment.md', 'templates/summary.md'] as const;

export type OwnFile = (typeof OWN_FILES)[number];

/** The text of a file of this package. */
export function readOwnFile(path: OwnFile): string {
  if (typeof BUNDLED_FILES !== 'undefined') return BUNDLED_FILES[path];
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** Our version. It stands in a manifest of our own folder: a repository that holds a copy has a version of its own. */
export function readPackageVersion(): string {
  const { version } = JSON.parse(readOwnFile('cli/package.json')) as { version: string };
  return version;
}
