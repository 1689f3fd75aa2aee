import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const CLI = fileURLToPath(new URL('..', import.meta.url));

/** The rooms from the top of the house down: a room imports from those below it, and from itself. */
const FEATURES = ['launch', 'check', 'report'] as const;
const ROOMS = [...FEATURES, 'gate', 'clearml', 'training', 'github', 'shell', 'text'] as const;
/** Decisions only: no Node module but `node:util`, no process, console, clock or network. */
const PURE_ROOMS = ['gate', 'training', 'text'];
const MOST_FILES_IN_A_ROOM = 20;

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
const isOwn = (path: string) => path.endsWith('.ts') || path.endsWith('.json');
const nameRoom = (path: string) => path.split('/')[0] ?? '';
const isInRoom = (path: string) => ROOMS.some((room) => nameRoom(path) === room) && path.includes('/');
const product = imports.filter(({ from }) => !isTest(from) && (isInRoom(from) || !from.includes('/')));

function expectNone(found: readonly Import[]): void {
  expect(found.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
}

test('there are imports to look at', () => {
  expect(product.length).toBeGreaterThan(100);
  expect(product.some(({ from }) => from === 'launch-training-task.ts')).toBe(true);
  for (const room of ROOMS) expect(product.map(({ from }) => nameRoom(from))).toContain(room);
});

describe('imports point down, those of types too:', () => {
  const own = product.filter(({ from, to }) => isInRoom(from) && isOwn(to));

  test.each([...ROOMS])('%s imports itself and the rooms below it', (room) => {
    const below = ROOMS.slice(ROOMS.indexOf(room) + 1);
    const others = below.filter((name) => !FEATURES.some((feature) => feature === name));
    const allowed: readonly string[] = [room, ...others];
    expectNone(
      own.filter(
        ({ from, to }) => nameRoom(from) === room && !(isInRoom(to) && allowed.includes(nameRoom(to))),
      ),
    );
  });

  test('gate imports training, shell and text only', () => {
    const allowed = ['gate', 'training', 'shell', 'text'];
    expectNone(own.filter(({ from, to }) => nameRoom(from) === 'gate' && !allowed.includes(nameRoom(to))));
  });

  test('nothing but a test, and what we run ourselves, imports a program', () => {
    expectNone(product.filter(({ to }) => isOwn(to) && !to.includes('/') && to.endsWith('.ts')));
  });

  test("the sandbox takes nothing but types from the product's files", () => {
    const sandbox = imports.filter(({ from }) => from.startsWith('sandbox/') && !isTest(from));
    expectNone(sandbox.filter(({ to, isTypeOnly }) => isInRoom(to) && !isTypeOnly));
  });

  test('only one file of the product speaks to each package that reaches outside', () => {
    for (const name of ['undici', '@octokit/rest', 'dotenv', 'yaml']) {
      const users = product.filter(
        ({ to, isTypeOnly }) => (to === name || to.startsWith(`${name}/`)) && !isTypeOnly,
      );
      const files = new Set(users.map(({ from }) => from));
      expect({ name, files: files.size }).toEqual({ name, files: 1 });
    }
  });
});

describe.each(PURE_ROOMS)('%s is pure:', (room) => {
  const inside = product.filter(({ from }) => nameRoom(from) === room);

  test('it imports packages that are', () => {
    expectNone(
      inside.filter(
        ({ to, isTypeOnly }) =>
          !isTypeOnly && to !== 'node:util' && /^(?:node:|undici|@octokit|commander|dotenv)/.test(to),
      ),
    );
  });

  test('it touches neither the process nor the console nor the network', () => {
    for (const file of new Set(inside.map(({ from }) => from))) {
      const code = readFileSync(join(CLI, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
      const found = code.match(/\b(?:process|console)\.|\bfetch\(|\bsetTimeout\(|\bDate\.now\(/g);
      expect({ file, found }).toEqual({ file, found: null });
    }
  });
});

test(`no room has more than ${MOST_FILES_IN_A_ROOM} files`, () => {
  const files = readdirSync(CLI, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => isInRoom(path) && path.endsWith('.ts') && !isTest(path) && !path.endsWith('.d.ts'));
  const counts = [...new Set(files.map((path) => dirname(path)))].map((folder) => ({
    folder,
    files: files.filter((path) => dirname(path) === folder).length,
  }));
  expect(counts.filter((room) => room.files > MOST_FILES_IN_A_ROOM)).toEqual([]);
});

test("the programs' own manifest, which goes with a copy of them, says what the package's says", () => {
  const [own, whole] = ['package.json', '../package.json'].map(
    (path) => JSON.parse(readFileSync(join(CLI, path), 'utf8')) as Record<string, unknown>,
  );
  const { name, version, type, engines, dependencies, overrides } = whole ?? {};
  // The test runner's is none of theirs.
  const { 'unrs-resolver': _, ...theirs } = overrides as Record<string, string>;
  expect(own).toEqual({ name, version, private: true, type, engines, dependencies, overrides: theirs });
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
