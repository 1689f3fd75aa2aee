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
const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8')) as {
  packages: Record<string, LockedPackage>;
};
/** What `npm ci --omit=dev` installs. */
const production = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);

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
    // All of it: npm's `--omit dev` leaves out what a development dependency needs too, valibot and yaml among it.
    for (const [path, { version }] of production)
      expect(listed).toContain(`${path.replace(/^.*node_modules\//, '')}@${version}`);
  });
});
