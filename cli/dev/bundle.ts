import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { OWN_FILES } from '../io/own-file.ts';
import type { ProgramName } from './program-run.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The programs, in the order a workflow runs them. */
export const PROGRAM_NAMES: readonly ProgramName[] = [
  'launch-training-task',
  'check-task-running',
  'create-stats-comment',
];

/** Where the build puts a program: one file that needs Node and nothing else. */
export function locateBundle(program: ProgramName, directory = join(ROOT, 'dist')): string {
  return join(directory, `${program}.mjs`);
}

/**
 * Makes each program one file, our own templates and every package included, and beside it the licences of the
 * packages that are in it.
 */
export async function buildBundles(directory = join(ROOT, 'dist')): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const ownFiles = Object.fromEntries(
    OWN_FILES.map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      // Of the manifest the version is all that a program reads.
      return [path, path === 'package.json' ? JSON.stringify({ version: JSON.parse(text).version }) : text];
    }),
  );
  const result = await build({
    entryPoints: PROGRAM_NAMES.map((program) => ({ in: join(ROOT, 'cli', `${program}.ts`), out: program })),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.18',
    // Names are kept, so that a stack still says where a bug is; blanks and comments cost start-up.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    define: { BUNDLED_FILES: JSON.stringify(ownFiles) },
    // Packages in CommonJS ask for Node's own modules with require, which a module does not have.
    banner: {
      js: "import { createRequire as $createRequire } from 'node:module';\nconst require = $createRequire(import.meta.url);",
    },
    metafile: true,
    absWorkingDir: ROOT,
    logLevel: 'warning',
  });
  const packages = listPackages(Object.keys(result.metafile.inputs));
  writeFileSync(join(directory, 'LICENSES.txt'), packages.map(readLicence).join('\n'));
}

/** The packages that files of node_modules belong to, as paths, sorted. */
function listPackages(inputs: readonly string[]): string[] {
  const found = inputs.map((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(found)].filter((path) => path !== undefined).sort();
}

function readLicence(path: string): string {
  const manifest = JSON.parse(readFileSync(join(ROOT, path, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
    license?: string;
  };
  const title = `${manifest.name} ${manifest.version} (${manifest.license ?? 'licence unknown'})`;
  const names = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'license.md', 'LICENCE'];
  for (const name of names) {
    try {
      return `${title}\n\n${readFileSync(join(ROOT, path, name), 'utf8').trim()}\n\n${'-'.repeat(72)}\n`;
    } catch {
      // The next name, then.
    }
  }
  return `${title}\n\n${'-'.repeat(72)}\n`;
}
