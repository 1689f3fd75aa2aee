import { readFileSync } from 'node:fs';

/** The version in our own package.json; read only where `--version` may be asked for. */
export function readPackageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
