import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const CLI = fileURLToPath(new URL('..', import.meta.url));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

/** Every import of our TypeScript files; `to` is relative to `cli/` for our own files, else the package's name. */
function listImports(): Import[] {
  const files = readdirSync(CLI, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  return files.flatMap((from) => {
    const text = readFileSync(join(CLI, from), 'utf8');
    const found = text.matchAll(
      /^(import|export)(?<type> type)?(?:[^;'"]*? from)? ?'(?<path>[^']+)';$|\b(?:import|require)\('(?<lazy>[^']+)'\)/gm,
    );
    return [...found].map((match): Import => {
      const { path, lazy, type } = match.groups ?? {};
      const target = path ?? lazy ?? '';
      const to = target.startsWith('.') ? relative(CLI, join(CLI, dirname(from), target)) : target;
      return {
        from: from.replaceAll('\\', '/'),
        to: to.replaceAll('\\', '/'),
        isTypeOnly: type !== undefined,
      };
    });
  });
}

const imports = listImports();
const isTest = (path: string) => path.endsWith('.test.ts');
const product = imports.filter(({ from }) => !isTest(from) && !/^(?:dev|sandbox)\//.test(from));
const isOwn = (path: string) => path.endsWith('.ts') || path.endsWith('.json');

function expectNone(found: readonly Import[]): void {
  expect(found.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
}

test('there are imports to look at', () => {
  expect(product.length).toBeGreaterThan(100);
  expect(product.some(({ from }) => from === 'launch-training-task.ts')).toBe(true);
});

describe('imports point one way:', () => {
  test('core imports core, and packages that are pure', () => {
    const core = product.filter(({ from }) => from.startsWith('core/'));
    expectNone(core.filter(({ to }) => isOwn(to) && !to.startsWith('core/')));
    expectNone(core.filter(({ to }) => /^(?:node:|undici|@octokit|commander|dotenv)/.test(to)));
  });

  test('core touches neither the process nor the console nor the network', () => {
    const files = new Set(product.map(({ from }) => from).filter((from) => from.startsWith('core/')));
    for (const file of files) {
      const code = readFileSync(join(CLI, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
      expect({
        file,
        found: code.match(/\b(?:process|console)\.|\bfetch\(|\bsetTimeout\(|\bDate\.now\(/g),
      }).toEqual({
        file,
        found: null,
      });
    }
  });

  test('io imports io and core', () => {
    const io = product.filter(({ from }) => from.startsWith('io/'));
    expectNone(io.filter(({ to }) => isOwn(to) && !/^(?:core|io)\//.test(to)));
  });

  test('nothing but a test imports a program; its body is loaded by its entry alone', () => {
    expectNone(imports.filter(({ from, to }) => !isTest(from) && isOwn(to) && !to.includes('/')));
    const bodies = imports.filter(({ to }) => to.startsWith('programs/'));
    expectNone(bodies.filter(({ from, to }) => from !== to.slice('programs/'.length)));
  });

  test('nothing of the product imports the sandbox or what only we run', () => {
    expectNone(product.filter(({ to }) => /^(?:sandbox|dev)\//.test(to)));
  });

  test("the sandbox takes nothing but types from the product's files", () => {
    const sandbox = imports.filter(({ from }) => from.startsWith('sandbox/') && !isTest(from));
    expectNone(sandbox.filter(({ to, isTypeOnly }) => /^(?:core|io)\//.test(to) && !isTypeOnly));
  });

  test('only one file of io speaks to each package that reaches outside', () => {
    for (const name of ['undici', '@octokit/rest', 'dotenv', 'yaml']) {
      const users = product.filter(
        ({ to, isTypeOnly }) => (to === name || to.startsWith(`${name}/`)) && !isTypeOnly,
      );
      const files = new Set(users.map(({ from }) => from));
      expect({ name, files: files.size }).toEqual({ name, files: 1 });
    }
  });
});

test("the programs' own manifest, which goes with a copy of them, says what the package's says", () => {
  const [own, whole] = ['package.json', '../package.json'].map(
    (path) => JSON.parse(readFileSync(join(CLI, path), 'utf8')) as Record<string, unknown>,
  );
  expect(own).toEqual({ private: true, version: whole?.version, type: whole?.type });
});

test('what package.json names as commands is executable: npx makes it so, which would be a change of the checkout', () => {
  const { bin } = JSON.parse(readFileSync(join(CLI, '../package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  const files = Object.values(bin);
  expect(files.length).toBe(3);
  for (const file of files)
    expect([file, statSync(join(CLI, '..', file)).mode & 0o100]).toEqual([file, 0o100]);
});
