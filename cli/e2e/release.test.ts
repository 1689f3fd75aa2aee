import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { buildBundles, PROGRAM_NAMES } from '../dev/bundle.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { runWorkflowJob, type WorkflowRun } from '../dev/workflow-runner.ts';

const WORKFLOW = readFileSync(new URL('../../.github/workflows/release.yml', import.meta.url), 'utf8');

let folder: string;
/** GitHub's copy of the repository. */
let hub: string;
let source: ScratchRepository;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'release-'));
  await buildBundles(join(folder, 'dist'));
  source = createScratchRepository();
  source.commit('The project', {
    'README.md':
      '![A comment](.github/a.png) [settings](templates/README.md#settings), [here](#here), [tsx](https://tsx.is)\n',
    LICENSE: 'MIT\n',
    'cli/program.ts': 'export {};\n',
  });
  hub = join(folder, 'hub.git');
  source.git('clone', '--quiet', '--bare', '.', hub);
  // Replaces GitHub's own command.
  writeFileSync(join(folder, 'gh'), '#!/bin/sh\necho "$@" >> "$GH_LOG"\n', { mode: 0o755 });
});

afterAll(() => {
  source.remove();
  rmSync(folder, { recursive: true, force: true });
});

const inHub = (...args: string[]) => source.git('--git-dir', hub, ...args);

/** Runs the job `publish` on the build. Also returns the calls of `gh`. */
async function publish(version: string): Promise<{ run: WorkflowRun; asked: string }> {
  const workspace = mkdtempSync(join(folder, 'workspace-'));
  const log = join(folder, `gh-${version}.log`);
  writeFileSync(log, '');
  const run = await runWorkflowJob({
    workflow: WORKFLOW,
    job: 'publish',
    needs: { build: { result: 'success', outputs: { version } } },
    github: {
      event: {},
      event_name: 'push',
      ref_name: `release-${version}`,
      repository: 'octo/models',
      server_url: 'https://github.com',
      token: 'ghs_token',
    },
    machineEnv: {
      PATH: `${folder}${delimiter}${process.env.PATH}`,
      HOME: folder,
      GH_LOG: log,
      GIT_CONFIG_NOSYSTEM: '1',
    },
    workspace,
    actions: {
      'actions/checkout': () => {
        source.git('clone', '--quiet', hub, workspace);
        return {};
      },
      'actions/download-artifact': ({ inputs }) => {
        cpSync(join(folder, 'dist'), join(workspace, inputs.path ?? ''), { recursive: true });
        return {};
      },
      'actions/attest-build-provenance': ({ inputs }) => {
        expect(inputs['subject-path']?.trim().split(/\s+/)).toEqual(['dist/*.mjs', 'dist/*/index.mjs']);
        return {};
      },
    },
  });
  return { run, asked: readFileSync(log, 'utf8') };
}

test('a release is a commit that holds the actions and nothing else, after the one that was built', async () => {
  const main = inHub('rev-parse', 'main');
  const { run, asked } = await publish('1.2.3');
  expect(run.steps.map(({ stderr }) => stderr).join('')).not.toMatch(/error|fatal/);
  expect(run.conclusion).toBe('success');
  expect(inHub('ls-tree', '-r', '--name-only', 'v1.2.3').split('\n').sort()).toEqual(
    [
      'LICENSE',
      'LICENSES.txt',
      'README.md',
      'action.yml',
      'index.mjs',
      'post.mjs',
      ...PROGRAM_NAMES.flatMap((program) => [`${program}/action.yml`, `${program}/index.mjs`]),
    ].sort(),
  );
  const pages = 'https://github.com/octo/models';
  expect(inHub('show', 'v1.2.3:README.md')).toBe(
    `![A comment](${pages}/raw/release-1.2.3/.github/a.png) ` +
      `[settings](${pages}/blob/release-1.2.3/templates/README.md#settings), [here](#here), [tsx](https://tsx.is)`,
  );
  for (const file of ['check-task-running/index.mjs', 'index.mjs', 'action.yml']) {
    const built = inHub('hash-object', join(folder, 'dist', file));
    expect(inHub('rev-parse', `v1.2.3:${file}`)).toBe(built);
  }
  expect(inHub('rev-parse', 'v1.2.3^')).toBe(main);
  expect(inHub('rev-parse', 'main')).toBe(main);
  expect(asked.trim().split('\n')).toEqual([
    'auth setup-git',
    expect.stringMatching(
      /^release create v1\.2\.3 --verify-tag --generate-notes dist\/\S+-\S+\.mjs dist\/\S+-\S+\.mjs dist\/\S+-\S+\.mjs dist\/LICENSES\.txt$/,
    ),
  ]);
});

test('the tag of the major version moves to its newest release, and no release is made twice', async () => {
  await publish('1.2.4');
  expect(inHub('rev-parse', 'v1')).toBe(inHub('rev-parse', 'v1.2.4'));
  const newest = inHub('rev-parse', 'v1');
  expect((await publish('1.1.10')).run.conclusion).toBe('success');
  expect(inHub('rev-parse', 'v1.1.10')).not.toBe(newest);
  expect(inHub('rev-parse', 'v1')).toBe(newest);
  const { run, asked } = await publish('1.2.3');
  expect(run.conclusion).toBe('failure');
  expect(inHub('rev-parse', 'v1')).toBe(newest);
  expect(asked).not.toContain('release create');
});
