import { cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../command-run.ts';
import { BUNDLES, type ProgramName } from '../program-run.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const HERE = dirname(fileURLToPath(import.meta.url));

export const STEPS = ['launch', 'check', 'comment'] as const;
export type Step = (typeof STEPS)[number];

export const PROGRAMS: Readonly<Record<Step, ProgramName>> = {
  launch: 'launch-training-task',
  check: 'check-task-running',
  comment: 'create-stats-comment',
};

/** A process to be started. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One way to run the three steps. */
export interface Side {
  readonly name: 'original' | 'source' | 'release';
  readonly title: string;
  /** Makes what a runner's image, `actions/setup-python` or `actions/setup-node` would bring: it is not counted. */
  prepare(): Promise<void>;
  /** Installs what a fresh runner has to; nothing of an earlier install is left, whatever later runs cached included. */
  install(): Promise<void>;
  /** What that brings, in bytes as `du` counts them. */
  measureSize(): number;
  /** Of the launch without a task's id. `inputs` are options by name: `true` is a flag. */
  command(step: Step, taskId?: string, inputs?: Readonly<Record<string, string>>): Command;
  /** A file that does nothing, run the same way: what the interpreter alone costs. */
  readonly empty: Command;
}

/**
 * The sides of the comparison, in folders below `directory`.
 *
 * @param node a Node 24, as the shipped workflow and a release's actions use
 * @param checkout where the steps run; the original's scripts lie in it, as they did
 */
export function createSides(
  directory: string,
  checkout: string,
  node: string,
  python: string,
): readonly [original: Side, source: Side, release: Side] {
  return [
    createOriginal(join(directory, 'original'), checkout, python),
    createSource(join(directory, 'source'), node),
    createRelease(join(directory, 'release'), join(directory, 'release.tar.gz'), node),
  ];
}

function createOriginal(environment: string, checkout: string, python: string): Side {
  const interpreter = join(environment, 'bin', 'python');
  const makeEnvironment = async () => {
    rmSync(environment, { recursive: true, force: true });
    await run(python, ['-m', 'venv', environment]);
  };
  return {
    name: 'original',
    title: 'the original (Python, ClearML SDK)',
    prepare: makeEnvironment,
    async install() {
      const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input'];
      await run(interpreter, [...pip, '-r', join(HERE, 'requirements.txt')]);
    },
    measureSize: () => measureSize(environment),
    command: (step, taskId) => ({
      file: interpreter,
      args: [join(checkout, 'original.py'), step, ...(taskId === undefined ? [] : [taskId])],
    }),
    empty: { file: interpreter, args: ['-c', ''] },
  };
}

/** The programs as a copied `cli`, of this checkout or another one. */
export function createSource(directory: string, node: string, root = ROOT): Side {
  return {
    name: 'source',
    title: 'copied (`npm ci --prefix cli`)',
    // The checkout brings the programs themselves.
    async prepare() {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
      for (const path of ['cli', 'templates']) {
        cpSync(join(root, path), join(directory, path), {
          recursive: true,
          filter: (from) => !/[\\/]cli[\\/](?:dev|sandbox|node_modules)$|\.test\.ts$/.test(from),
        });
      }
      cpSync(join(HERE, 'empty.ts'), join(directory, 'cli', 'empty.ts'));
    },
    async install() {
      // As the shipped workflow does it.
      const npm = [
        'ci',
        '--prefix',
        'cli',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--prefer-offline',
        '--silent',
      ];
      await run('npm', npm, directory, { PATH: `${dirname(node)}:${process.env.PATH}` });
    },
    measureSize: () => measureSize(join(directory, 'cli', 'node_modules')),
    command: (step, taskId, inputs = {}) => ({
      file: node,
      args: [
        join(directory, 'cli', `${PROGRAMS[step]}.ts`),
        ...(taskId === undefined ? [] : [taskId]),
        ...Object.entries(inputs).flatMap(([name, value]) => [
          `--${name}`,
          ...(value === 'true' ? [] : [value]),
        ]),
      ],
    }),
    empty: { file: node, args: [join(directory, 'cli', 'empty.ts')] },
  };
}

/** The programs as actions, out of an archive that `packRelease` made. */
export function createRelease(directory: string, archive: string, node: string): Side {
  return {
    name: 'release',
    title: 'as actions (`uses:`)',
    async prepare() {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
    },
    // A runner gets an action as an archive of its commit.
    install: () => run('tar', ['-xzf', archive, '-C', directory]),
    measureSize: () => measureSize(directory),
    command: (step, taskId, inputs = {}) => ({
      file: node,
      args: [join(directory, PROGRAMS[step], 'index.mjs')],
      env: {
        ...(taskId === undefined ? {} : { 'INPUT_TASK-IDS': taskId }),
        ...Object.fromEntries(
          Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]),
        ),
      },
    }),
    empty: { file: node, args: [join(HERE, 'empty.ts')] },
  };
}

/** Packs what a release's commit holds, out of what was built, for `createSides`. */
export async function packRelease(directory: string, built = BUNDLES): Promise<void> {
  const archive = join(directory, 'release.tar.gz');
  const content = [...Object.values(PROGRAMS), 'LICENSES.txt'];
  await run('tar', ['-czf', archive, '-C', built, ...content, '-C', ROOT, 'README.md', 'LICENSE']);
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
