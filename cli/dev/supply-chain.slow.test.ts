import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

interface LockedPackage {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

const ROOT = new URL('../../', import.meta.url);
/** What a lock file installs but for development, by path. */
function readLock(path: string): Array<[path: string, locked: LockedPackage]> {
  const { packages } = JSON.parse(readFileSync(new URL(path, ROOT), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  return Object.entries(packages).filter(([location, { dev }]) => location !== '' && dev !== true);
}

const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '');

/** What `npm ci --prefix cli` installs: in the shipped workflow, and in a copy. */
const production = readLock('cli/package-lock.json');

/** Licences that ask for no more than their text to be kept. */
const PERMISSIVE = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD'];
/** Names no licence in the form that npm reads; its LICENSE is MIT's text. */
const UNNAMED = ['node_modules/jstat'];

describe('the production install', () => {
  test('is of packages under permissive licences', () => {
    expect(production.length).toBeGreaterThan(10);
    const others = production.filter(
      ([path, { license }]) => !PERMISSIVE.includes(license ?? '') && !UNNAMED.includes(path),
    );
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
    for (const path of UNNAMED)
      expect(readFileSync(new URL(`${path}/LICENSE`, ROOT), 'utf8')).toContain(
        'Permission is hereby granted, free of charge',
      );
  });

  test('is the same by both lock files: npm install NAME, then npm install NAME --prefix cli', () => {
    const list = (lock: typeof production): string[] =>
      lock.map(([path, { version, integrity }]) => `${nameOf(path)}@${version} ${integrity}`).sort();
    expect(list(production)).toEqual(list(readLock('package-lock.json')));
  });

  test('runs no script of a package', () => {
    expect(production.filter(([, locked]) => locked.hasInstallScript === true)).toEqual([]);
  });

  test('is locked by hash', () => {
    expect(production.filter(([, { integrity }]) => !/^sha(?:512|1)-/.test(integrity ?? ''))).toEqual([]);
  });

  test('has a bill of materials, made by npm: npm run sbom', () => {
    const text = execFileSync('npm', ['run', '--silent', 'sbom'], {
      cwd: fileURLToPath(ROOT),
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    const bill = JSON.parse(text) as {
      bomFormat: string;
      components: Array<{ name: string; version: string }>;
    };
    expect(bill.bomFormat).toBe('CycloneDX');
    const listed = bill.components.map(({ name, version }) => `${name}@${version}`);
    expect(listed.sort()).toEqual(
      production.map(([path, { version }]) => `${nameOf(path)}@${version}`).sort(),
    );
  });
});
