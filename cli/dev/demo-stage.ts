import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../sandbox/sandbox.ts';
import { type ClearmlAgent, startClearmlAgent } from './clearml-agent.ts';
import type { DemoStage } from './demo-job.ts';
import { countUncommittedFiles, createDemoRepository } from './demo-repository.ts';
import type { DemoScreen } from './demo-screen.ts';
import { preparePythonEnvironment } from './python-environment.ts';
import { checkGit } from './required-tools.ts';

/** As many as seeds: a commit's trainings run side by side. */
const SEEDS = 3;

export interface StageOptions {
  /** The checkout whose commit is trained. */
  readonly checkout: string;
  readonly screen: DemoScreen;
  readonly signal: AbortSignal;
  readonly record: (line: string) => void;
  /** Interpreter of an environment with what the training needs, and an agent; default: the demo's own. */
  readonly python?: string;
  /** How many; default: as many as the demo has seeds. */
  readonly agents?: number;
  /** Takes what is to be undone at the end, however it ends; the last first. */
  readonly cleanups: Array<() => unknown>;
}

/**
 * Makes a scratch repository of the checkout, and starts a sandbox and agents that serve its queue `default`.
 *
 * @throws Failure where something that it takes is missing
 */
export async function prepareStage(options: StageOptions): Promise<DemoStage> {
  const { checkout, cleanups, agents: count = SEEDS, python: given, ...shown } = options;
  const { screen, signal } = shown;
  await checkGit();
  const scratch = mkdtempSync(join(tmpdir(), 'clearml-ci-demo-'));
  cleanups.push(() => rmSync(scratch, { recursive: true, force: true }));
  const repository = await createDemoRepository(checkout, join(scratch, 'digits'), signal);
  const uncommitted = await countUncommittedFiles(checkout, signal);
  if (uncommitted > 0)
    screen.say(
      `${uncommitted} files have uncommitted changes: the training and the demo's commits leave them out.`,
    );
  const python =
    given ??
    (await screen.step(
      'Python environment (made once, then kept in .cache/)',
      async (onProgress) => (await preparePythonEnvironment({ onProgress, signal })).python,
    ));
  const sandbox = await screen.step('Sandbox: a ClearML server and GitHub on this machine', () =>
    startSandbox({ github: { repository: 'acme/digits', gitDir: repository.directory } }),
  );
  cleanups.push(sandbox.close);
  const agents: ClearmlAgent[] = [];
  cleanups.push(() => Promise.all(agents.map((agent) => agent.stop())));
  await screen.step(
    `${count} real ${count === 1 ? 'clearml-agent that serves' : 'clearml-agents that serve'} the queue "default"`,
    async () => {
      const starts = await Promise.allSettled(
        Array.from({ length: count }, async (_, at) => {
          agents.push(
            await startClearmlAgent({
              server: sandbox.clearml.env,
              python,
              queue: 'default',
              workerId: `agent-${at + 1}`,
              packages: 'prepared',
            }),
          );
        }),
      );
      const failed = starts.find((start) => start.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    },
  );
  signal.throwIfAborted();
  return { ...shown, repository, scratch, sandbox };
}
