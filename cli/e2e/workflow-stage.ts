import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { findNodeDirectory } from '../dev/node-release.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { runWorkflowJob, type WorkflowRun } from '../dev/workflow-runner.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** This project, committed in a repository of its own on `main`. */
export function copyProject(): ScratchRepository {
  const repository = createScratchRepository();
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const path of listed.split('\0').filter((name) => name !== '' && existsSync(join(ROOT, name)))) {
    mkdirSync(dirname(join(repository.directory, path)), { recursive: true });
    cpSync(join(ROOT, path), join(repository.directory, path));
  }
  repository.commit('The project', {});
  return repository;
}

/** A job of one of the project's workflows, and the event that starts it. */
export interface JobCall {
  readonly file: 'clearml_ci_cd.yml' | 'clearml_collect.yml' | 'clearml_commands.yml';
  readonly job: string;
  readonly eventName: string;
  readonly event: object;
  /** GITHUB_SHA and GITHUB_REF; of an event without a pull request the tip of `main`. */
  readonly sha: string;
  readonly ref: string;
  readonly runId: string;
  readonly actor?: string;
  readonly inputs?: Readonly<Record<string, string | number>>;
  readonly cancel?: AbortSignal;
  readonly onStep?: (name: string) => void;
}

/** Runs jobs of the project's workflows against a sandbox. */
export interface WorkflowStage {
  run(call: JobCall): Promise<WorkflowRun>;
  close(): void;
}

/**
 * A stage for many jobs: the workflow is the default branch's or, at a pull request, the head's, as GitHub takes it. Node 24
 * runs the programs; `npm ci` is replaced by a link to what is installed here, which another test does for real.
 */
export async function createWorkflowStage(
  repository: ScratchRepository,
  { clearml, github }: Sandbox,
): Promise<WorkflowStage> {
  const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-stage-'));
  const node = await findNodeDirectory(24);
  const programs = join(folder, 'bin');
  mkdirSync(programs);
  const npm = join(programs, 'npm');
  writeFileSync(
    npm,
    `#!/bin/sh\n[ "$1" = ci ] && exec ln -s '${join(ROOT, 'node_modules')}' cli/node_modules\n`,
  );
  chmodSync(npm, 0o755);
  return {
    run({ file, job, eventName, event, sha, ref, runId, actor = 'octocat', inputs, cancel, onStep }) {
      const workspace = mkdtempSync(join(folder, 'workspace-'));
      const workflow = repository.git('show', `${sha}:.github/workflows/${file}`);
      return runWorkflowJob({
        workflow,
        job,
        ...(inputs === undefined ? {} : { inputs }),
        github: {
          event,
          event_name: eventName,
          repository: github.repository,
          repository_owner: github.repository.split('/')[0],
          actor,
          token: github.token,
          api_url: github.apiUrl,
          server_url: github.serverUrl,
          sha,
          ref,
          run_id: runId,
          run_attempt: '1',
          workflow: (parse(workflow) as { name: string }).name,
        },
        secrets: { ACCESS_KEY: clearml.accessKey, SECRET_KEY: clearml.secretKey },
        vars: {
          CLEARML_API_HOST: clearml.apiHost,
          CLEARML_WEB_HOST: clearml.webHost,
          CLEARML_FILES_HOST: clearml.filesHost,
        },
        machineEnv: {
          HOME: folder,
          NO_PROXY: '127.0.0.1',
          PATH: [programs, ...(node === undefined ? [] : [node]), process.env.PATH ?? ''].join(delimiter),
        },
        workspace,
        actions: {
          'actions/checkout': ({ inputs: given }) => {
            repository.git('clone', '--quiet', '.', workspace);
            repository.git('-C', workspace, 'checkout', '--quiet', given.ref || sha);
            return {};
          },
          'actions/setup-node': () => ({}),
        },
        ...(cancel === undefined ? {} : { cancel }),
        ...(onStep === undefined ? {} : { onStep }),
      });
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Everything the steps said. */
export function transcriptOf(run: WorkflowRun): string {
  return run.steps
    .map((step) => `== ${step.name}: ${step.conclusion}\n${step.stdout}${step.stderr}`)
    .join('\n');
}

/** An expectation whose failure shows what happened. */
export function expectConclusion(run: WorkflowRun, conclusion: WorkflowRun['conclusion']): void {
  if (run.conclusion !== conclusion)
    throw new Error(`The run ended as ${run.conclusion}:\n${transcriptOf(run)}`);
}
