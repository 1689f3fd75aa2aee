import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { build, type Plugin } from 'esbuild';
import { stringify } from 'yaml';
import { type ActionInput, COMMENT_INPUT, listActionInputs, TOKEN_INPUT } from '../github/action.ts';
import { listOneActionInputs } from '../one-action.ts';
import { OWN_FILES } from '../shell/files.ts';
import { BUNDLES, COMMANDS, type ProgramName } from './program-run.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The programs, in the order a workflow runs them. */
export const PROGRAM_NAMES: readonly ProgramName[] = [
  'launch-training-task',
  'check-task-running',
  'create-stats-comment',
];

/** The program whose action can have the comment updated meanwhile. */
const REPORTING: ProgramName = 'check-task-running';

const DESCRIPTIONS: Readonly<Record<ProgramName, string>> = {
  'launch-training-task': 'Creates a ClearML task for exactly one commit and puts it into a queue, once.',
  'check-task-running': 'Waits until ClearML tasks have ended, shows their log, and says why one failed.',
  'create-stats-comment': 'Reports ClearML tasks as one comment on a pull request and as the job summary.',
};

/** What each program hands to later steps; a test holds it to the tables of the programs' pages. */
const OUTPUTS: Readonly<Record<ProgramName, Readonly<Record<string, string>>>> = {
  'launch-training-task': {
    'task-id': 'id of the (first) task',
    'task-ids': 'all ids, separated by blanks',
    'task-url': "the first task's page in ClearML",
    reused: 'true only if no task was created',
    command: 'with from-comment: train, abort, accept or none',
    'pull-request': 'with from-comment: its number',
    commit: 'with from-comment: the commit to train or to accept',
    reason: 'with from-comment: why it is accepted',
  },
  'check-task-running': {
    status: "the tasks' status; mixed where they differ",
    'duration-seconds': "the longest task's",
    cause: 'why the task failed that set the exit code',
    due: 'JSON: with due, what is to be reported',
  },
  'create-stats-comment': {
    'comment-url': 'the comment',
    'comment-id': 'its id',
    verdict: 'failed, pending, none, regression, undecided or pass',
    metrics: 'JSON: metric, value, baseline, change and verdict of each',
    'model-id': "the first seed's last output model; empty where there is none",
    'model-url': 'its page in ClearML',
    promoted: 'with `promote`: true if the model carries the tag at the end, else false',
  },
};

/** Of the three programs' outputs, those of the one action. */
const ONE_ACTION_OUTPUTS = [
  'task-ids',
  'task-url',
  'status',
  'cause',
  'comment-url',
  'verdict',
  'metrics',
  'model-id',
  'model-url',
];

/**
 * Makes each program one file, our own templates and every package included; the same again as a GitHub action in a
 * folder of its own; all three as one action; and beside them the licences of the packages that are in it.
 */
export async function buildBundles(directory = BUNDLES): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const ownFiles = Object.fromEntries(
    OWN_FILES.map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      // Of the manifest the version is all that a program reads.
      return [
        path,
        path === 'cli/package.json' ? JSON.stringify({ version: JSON.parse(text).version }) : text,
      ];
    }),
  );
  const result = await build({
    entryPoints: [
      ...PROGRAM_NAMES.map((program) => ({ in: join(ROOT, 'cli', `${program}.ts`), out: program })),
      ...PROGRAM_NAMES.map((program) => ({ in: `action:${program}`, out: `${program}/index` })),
      { in: 'action:all', out: 'index' },
    ],
    plugins: [actionEntries, bundledRequires, lateHttp2],
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
  for (const program of PROGRAM_NAMES) {
    const { createCommand } = (await import(`../${COMMANDS[program]}`)) as { createCommand(): Command };
    const text = formatActionFile(program, listActionInputs(createCommand()));
    writeFileSync(join(directory, program, 'action.yml'), text);
  }
  writeFileSync(join(directory, 'action.yml'), formatOneActionFile());
  writeFileSync(join(directory, POST), "import './index.mjs';\n");
  const packages = listPackages(Object.keys(result.metafile.inputs));
  writeFileSync(join(directory, 'LICENSES.txt'), packages.map(readLicence).join('\n'));
}

/**
 * A file of its own, which only loads the other one, says that it is the job's end. State that `main` saves could not: a run
 * that is cancelled while Node starts has saved none.
 */
const POST = 'post.mjs';

/** `action:PROGRAM`: what a runner starts; `action:all`: the one action. */
const actionEntries: Plugin = {
  name: 'action entries',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^action:/ }, ({ path }) => ({
      path: path.slice('action:'.length),
      namespace: 'action',
    }));
    onLoad({ filter: /.*/, namespace: 'action' }, ({ path }) => ({
      contents: (path === 'all'
        ? [
            "import { fileURLToPath } from 'node:url';",
            "import { openEarly } from './shell/connections/early-connections.ts';",
            `const isPost = process.argv[1]?.endsWith('${POST}');`,
            "if (!isPost && process.argv.length === 2) openEarly(process.env, 'launch-training-task');",
            "const { main, post } = await import('./one-action.ts');",
            "const { runAsProcess } = await import('./shell/process.ts');",
            'const file = fileURLToPath(import.meta.url);',
            'await runAsProcess(async () => ({ main: (world) => isPost ? post(world) : main(world, file) }));',
          ]
        : [
            "import { fileURLToPath } from 'node:url';",
            "import { openEarly } from './shell/connections/early-connections.ts';",
            // Before all else is evaluated: what is imported by a call is, where it is called.
            `openEarly(process.env, '${path}');`,
            "const { runAsAction } = await import('./github/action.ts');",
            `const program = await import('./${COMMANDS[path as ProgramName]}');`,
            path === REPORTING
              ? "await runAsAction(program, fileURLToPath(new URL('../create-stats-comment/index.mjs', import.meta.url)));"
              : 'await runAsAction(program);',
          ]
      ).join('\n'),
      resolveDir: join(ROOT, 'cli'),
      loader: 'ts',
    }));
  },
};

/** The packages that `shell/program.ts` and `shell/http.ts` require: without a `require` of the file's own they are bundled. */
const bundledRequires: Plugin = {
  name: 'bundled requires',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]cli[\\/]shell[\\/](?:program|http)\.ts$/ }, ({ path }) => {
      const [contents, ownRequire] = [readFileSync(path, 'utf8'), /^const require = createRequire\(.*\);$/m];
      if (!ownRequire.test(contents)) throw new Error(`${path} requires in a way that can't be bundled`);
      return { contents: contents.replace(ownRequire, ''), loader: 'ts' };
    });
  },
};

/** What `shell/late-http2.ts` does where programs are run from the source: undici's HTTP/2 is loaded when it is called. */
const lateHttp2: Plugin = {
  name: 'late HTTP/2',
  setup({ onResolve, onLoad }) {
    const file = 'undici/lib/dispatcher/client-h2.js';
    onLoad({ filter: /[\\/]cli[\\/]shell[\\/]late-http2\.ts$/ }, () => ({ contents: '' }));
    onResolve({ filter: /\/client-h2\.js$/ }, ({ namespace }) =>
      namespace === 'late' ? undefined : { path: file, namespace: 'late' },
    );
    onLoad({ filter: /.*/, namespace: 'late' }, () => ({
      contents: `module.exports = (...args) => require('${file}')(...args);`,
      resolveDir: ROOT,
    }));
  },
};

/** The action's description for the runner. */
export function formatActionFile(program: ProgramName, inputs: readonly ActionInput[]): string {
  const commenting = {
    [COMMENT_INPUT]: {
      description: 'true: create-stats-comment, without its gate, is the command of on-change',
      required: false,
    },
  };
  return stringify({
    name: `ClearML: ${program}`,
    description: DESCRIPTIONS[program],
    inputs: { ...describeInputs(inputs), ...(program === REPORTING ? commenting : {}), ...TOKEN },
    outputs: describeOutputs(OUTPUTS[program]),
    runs: { using: 'node24', main: 'index.mjs' },
  });
}

/** The description of the one action. */
function formatOneActionFile(): string {
  const outputs = Object.assign({}, ...Object.values(OUTPUTS)) as Record<string, string>;
  return stringify({
    name: 'ClearML CI/CD',
    description: "Trains a pull request's model on ClearML, waits for it and reports it as one comment.",
    inputs: { ...describeInputs(listOneActionInputs()), ...TOKEN },
    outputs: describeOutputs(
      Object.fromEntries(ONE_ACTION_OUTPUTS.map((name) => [name, outputs[name] ?? ''])),
    ),
    runs: { using: 'node24', main: 'index.mjs', post: POST, 'post-if': 'cancelled()' },
  });
}

const TOKEN = {
  [TOKEN_INPUT]: {
    description: 'token for GitHub, where GH_TOKEN is not set',
    required: false,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of GitHub's.
    default: '${{ github.token }}',
  },
};

function describeInputs(inputs: readonly ActionInput[]) {
  return Object.fromEntries(
    inputs.map(({ name, description, isRequired }) => [name, { description, required: isRequired }]),
  );
}

function describeOutputs(outputs: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(outputs).map(([name, description]) => [name, { description }]));
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
