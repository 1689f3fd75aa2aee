import { cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../command-run.ts';
import { locateBundle, type ProgramName } from '../program-run.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const HERE = dirname(fileURLToPath(import.meta.url));

export const STEPS = ['launch', 'check', 'comment'] as const;
export type Step = (typeof STEPS)[number];

/** One way to run the three steps. */
export interface Side {
  readonly name: 'original' | 'source' | 'bundle';
  readonly title: string;
  /** Installs afresh what a runner has to, into an empty folder. */
  install(): Promise<void>;
  /** What that brings, in bytes as `du` counts them. */
  measureSize(): number;
  command(step: Step, args: readonly string[]): readonly [command: string, args: readonly string[]];
  /** A file that does nothing, run the same way: what the interpreter alone costs. */
  readonly empty: readonly [command: string, args: readonly string[]];
}

const PROGRAMS: Readonly<Record<Step, ProgramName>> = {
  launch: 'launch-training-task',
  check: 'check-task-running',
  comment: 'create-stats-comment',
};

/** The sides of the comparison, in folders below `directory`. */
export function createSides(directory: string, node: string, python: string): Side[] {
  const nodeFolder = dirname(node);
  const environment = join(directory, 'original');
  const source = join(directory, 'source');
  const bundle = join(directory, 'bundle');
  const archive = join(directory, 'bundle.tar.gz');
  const interpreter = join(environment, 'bin', 'python');
  return [
    {
      name: 'original',
      title: 'the original (Python, ClearML SDK)',
      async install() {
        rmSync(environment, { recursive: true, force: true });
        await run(python, ['-m', 'venv', environment]);
        const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input'];
        await run(interpreter, [...pip, '-r', join(HERE, 'requirements.txt')]);
      },
      measureSize: () => measureSize(environment),
      command: (step, args) => [interpreter, [join(HERE, 'original.py'), step, ...args]],
      empty: [interpreter, ['-c', '']],
    },
    {
      name: 'source',
      title: 'these programs, as a fork runs them (`npm ci --omit=dev`, Node 24)',
      async install() {
        rmSync(source, { recursive: true, force: true });
        mkdirSync(source, { recursive: true });
        for (const path of ['cli', 'templates', 'package.json', 'package-lock.json']) {
          cpSync(join(ROOT, path), join(source, path), {
            recursive: true,
            filter: (from) => !/[\\/]cli[\\/](?:dev|sandbox)$|\.test\.ts$/.test(from),
          });
        }
        const npm = ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
        await run('npm', npm, source, { PATH: `${nodeFolder}:${process.env.PATH}` });
        cpSync(join(HERE, 'empty.ts'), join(source, 'empty.ts'));
      },
      measureSize: () => measureSize(join(source, 'node_modules')),
      command: (step, args) => [node, [join(source, 'cli', `${PROGRAMS[step]}.ts`), ...args]],
      empty: [node, [join(source, 'empty.ts')]],
    },
    {
      name: 'bundle',
      title: 'these programs, as a release (one file each, Node 24)',
      async install() {
        rmSync(bundle, { recursive: true, force: true });
        mkdirSync(bundle, { recursive: true });
        await run('tar', ['-xzf', archive, '-C', bundle]);
      },
      measureSize: () => measureSize(bundle),
      command: (step, args) => [node, [locateBundle(PROGRAMS[step], bundle), ...args]],
      empty: [node, [join(HERE, 'empty.ts')]],
    },
  ];
}

/** Packs the built programs as a release's archive holds them. */
export async function packBundles(directory: string): Promise<void> {
  const names = STEPS.map((step) => `${PROGRAMS[step]}.mjs`);
  await run('tar', [
    '-czf',
    join(directory, 'bundle.tar.gz'),
    '-C',
    dirname(locateBundle('check-task-running')),
    ...names,
  ]);
}

async function run(
  command: string,
  args: readonly string[],
  cwd?: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const done = await runCommand(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
  });
  if (done?.exitCode !== 0)
    throw new Error(`${command} ${args.join(' ')} failed:\n${done?.output ?? 'not there'}`);
}

/** Bytes on the disk of a folder's files. */
function measureSize(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    bytes += stat.isDirectory() ? measureSize(path) : stat.blocks * 512;
  }
  return bytes;
}
