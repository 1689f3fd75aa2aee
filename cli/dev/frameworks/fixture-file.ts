import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Set: fixtures are written anew instead of compared with. */
export const WRITES_RECORDINGS = process.env.WRITE_RECORDINGS === '1';

const FIXTURES = new URL('../../training/fixtures/', import.meta.url);

/** @returns undefined where there is none yet */
export function readFixture(name: string): unknown {
  const file = new URL(`${name}.json`, FIXTURES);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Writes a fixture so that a person can read it: what holds no further object stands on one line. */
export function writeFixture(name: string, fixture: unknown): void {
  const file = new URL(`${name}.json`, FIXTURES);
  mkdirSync(fileURLToPath(new URL('.', file)), { recursive: true });
  const text = JSON.stringify(fixture, undefined, 1);
  writeFileSync(
    file,
    `${text.replaceAll(/[[{]\n[^[\]{}]*[\]}]/g, (inner) => inner.replaceAll(/\s*\n\s*/g, ' '))}\n`,
  );
}
