import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { BASE_BRANCH, type DemoEdit, type DemoRepository } from './demo-repository.ts';
import type { DemoScreen } from './demo-screen.ts';
import type { ProgramName } from './program-run.ts';
import { parseRunnerFile } from './runner-file.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const METRIC = 'test_accuracy/accuracy';

/** What the demo's jobs run on. */
export interface DemoStage {
  readonly repository: DemoRepository;
  /** A directory for the runner's files. */
  readonly scratch: string;
  readonly sandbox: Sandbox;
  readonly screen: DemoScreen;
  /** Aborted: the program that runs is ended, and no other begins. */
  readonly signal: AbortSignal;
  /** Takes what the programs print, whole. */
  readonly record: (line: string) => void;
}

export interface DemoPull {
  readonly number: number;
  readonly branch: string;
  readonly title: string;
}

/** What a pull request's job came to. The job, and with it the check, is red where either exit code is not 0. */
export interface JobResult {
  readonly ids: readonly string[];
  /** What check-task-running ended with. */
  readonly checkExitCode: number;
  /** What create-stats-comment ended with. */
  readonly commentExitCode: number;
  readonly verdict: string;
  readonly metrics: ReadonlyArray<{
    readonly metric: string;
    readonly value: number | null;
    readonly baseline: number | null;
  }>;
  /** What check-task-running said. */
  readonly talk: readonly string[];
  /** The pull request's one comment, in Markdown. */
  readonly comment: string;
}

/** The demo's own training in such a job. */
export interface DemoResult extends JobResult {
  /** How many trainings there were: one a seed. */
  readonly runs: number;
  /** The test accuracy that was judged; null where a training failed. */
  readonly value: number | null;
  /** The base branch's; null where it has none. */
  readonly baseline: number | null;
  /** What each training printed as its test accuracy, in the order of the seeds. */
  readonly printed: readonly number[];
}

/**
 * As `pushCommit`, and reads what the demo's own training printed.
 *
 * @throws Error where the comment does not say what was trained
 */
export async function pushToPullRequest(
  stage: DemoStage,
  pull: DemoPull,
  message: string,
  edits: readonly DemoEdit[],
): Promise<DemoResult> {
  const job = await pushCommit(stage, pull, message, edits);
  const judged = job.metrics.find(({ metric }) => metric === METRIC);
  const result = {
    ...job,
    runs: job.ids.length,
    value: judged?.value ?? null,
    baseline: judged?.baseline ?? null,
    printed: findAccuracies(job.talk, job.ids),
  };
  if (job.checkExitCode === 0) checkNumbers(result);
  return result;
}

/**
 * Commits changes on a pull request's branch, which is created if it is missing, and runs the workflow's job for it.
 *
 * @returns what it came to
 */
export async function pushCommit(
  stage: DemoStage,
  pull: DemoPull,
  message: string,
  edits: readonly DemoEdit[],
): Promise<JobResult> {
  const { repository, sandbox, screen } = stage;
  const isNew = await repository.checkOut(pull.branch);
  const { changes } = await repository.commit(message, edits);
  const { number, branch, title } = pull;
  if (isNew) sandbox.github.addPull({ number, title, headRef: branch, baseRef: BASE_BRANCH });
  screen.changes(changes);
  return runTrainJob(stage, number, isNew ? 'opened' : 'synchronize');
}

/** Merges a pull request, and runs the workflow's job `base`, which launches the training without waiting. */
export async function mergePullRequest(
  stage: DemoStage,
  pull: DemoPull,
): Promise<{ readonly isReused: boolean }> {
  const commit = await stage.repository.merge(pull.branch, `Merge pull request #${pull.number}`);
  stage.sandbox.github.closePull(pull.number);
  const { outputs } = await launchBase(stage, commit);
  return { isReused: outputs.reused === 'true' };
}

/** Launches a commit of the base branch, and waits for its training, which the workflow does not. */
export async function trainBase(stage: DemoStage): Promise<void> {
  const { env, outputs } = await launchBase(stage, stage.repository.baseCommit);
  await runStep(stage, 'check-task-running', [outputs['task-ids'] ?? ''], env, [0]);
}

/** The workflow's job `base`. */
async function launchBase(stage: DemoStage, commit: string) {
  const { repository } = stage;
  const payload = {
    ref: `refs/heads/${BASE_BRANCH}`,
    after: commit,
    repository: { clone_url: repository.cloneUrl, default_branch: BASE_BRANCH },
  };
  const env = describeRun(stage, { name: 'push', payload, job: 'base', ref: payload.ref, commit });
  const { outputs } = await runStep(stage, 'launch-training-task', [], env, [0]);
  return { env, outputs };
}

/** Has the comment tell how it goes. */
const REPORT = `"${process.execPath}" --import "${import.meta.resolve('tsx')}" "${join(ROOT, 'cli', 'create-stats-comment.ts')}" "$TASK_IDS" --no-gate --no-summary`;

/**
 * The workflow's job `train`, step by step: launch, wait and keep the comment fresh, report. The task ids pass through the
 * steps' outputs.
 *
 * @throws Error where a step ends with an exit code that it should not, or there is not one comment
 */
async function runTrainJob(
  stage: DemoStage,
  pull: number,
  action: 'opened' | 'synchronize',
): Promise<JobResult> {
  const { sandbox, repository } = stage;
  const event = await sandbox.github.pullRequestEvent(pull, action);
  const { head } = event.pull_request;
  // The double of GitHub serves no git; the agent clones the scratch repository by its path.
  const repo = { ...head.repo, clone_url: repository.cloneUrl };
  const payload = { ...event, pull_request: { ...event.pull_request, head: { ...head, repo } } };
  const ref = `refs/pull/${pull}/merge`;
  const env = describeRun(stage, { name: 'pull_request', payload, job: 'train', ref });

  const launch = await runStep(stage, 'launch-training-task', [], env, [0]);
  const ids = launch.outputs['task-ids'] ?? '';
  const check = await runStep(stage, 'check-task-running', [ids, '--on-change', REPORT], env, [0, 3]);
  const report = await runStep(stage, 'create-stats-comment', [ids], env, [0, 5, 6]);

  const comments = sandbox.github.comments(pull);
  const [comment] = comments;
  if (comment === undefined || comments.length !== 1)
    throw new Error(`pull request ${pull} has ${comments.length} comments, not one`);
  return {
    ids: ids.split(' '),
    checkExitCode: check.exitCode,
    commentExitCode: report.exitCode,
    verdict: report.outputs.verdict ?? '',
    metrics: JSON.parse(report.outputs.metrics ?? '[]'),
    talk: check.talk,
    comment: comment.body,
  };
}

/** What each training printed last, in the order of the ids. With several tasks a line begins with its task's. */
function findAccuracies(log: readonly string[], ids: readonly string[]): number[] {
  const printed = new Map<string, number>();
  for (const line of log) {
    const [, prefix, accuracy] = /^(?:\[([0-9a-f]{8})\] )?test accuracy (\d\.\d+)$/.exec(line.trim()) ?? [];
    if (accuracy !== undefined) printed.set(prefix ?? ids[0]?.slice(0, 8) ?? '', Number(accuracy));
  }
  return ids.flatMap((id) => printed.get(id.slice(0, 8)) ?? []);
}

/** Checks that the reported number is what these trainings computed and printed. */
function checkNumbers({ runs, printed, value, comment }: DemoResult): void {
  const mean = printed.reduce((sum, accuracy) => sum + accuracy, 0) / printed.length;
  const row = comment.split('\n').find((line) => line.startsWith(`| \`${METRIC}\` |`)) ?? '';
  const shown = Number(/(?<=\| \**)\d\.\d+/.exec(row)?.[0]);
  // Printed with four digits, shown with five.
  const isSame = (number: number | null) => number !== null && Math.abs(number - mean) < 0.0001;
  if (printed.length !== runs || !isSame(value) || !isSame(shown)) {
    throw new Error(
      `${runs} trainings printed the test accuracies ${printed.join(', ')}; reported is ${value}, in the comment ${shown}:\n${comment}`,
    );
  }
}

/** What the runner sets for a run of the workflow. */
function describeRun(
  { sandbox, repository, scratch }: DemoStage,
  run: {
    readonly name: string;
    readonly payload: object;
    readonly job: string;
    readonly ref: string;
    readonly commit?: string;
  },
): Record<string, string> {
  const folder = mkdtempSync(join(scratch, 'run-'));
  const eventPath = join(folder, 'event.json');
  writeFileSync(eventPath, JSON.stringify(run.payload));
  return {
    ...sandbox.env,
    PWD: repository.directory,
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_NAME: run.name,
    GITHUB_EVENT_PATH: eventPath,
    GITHUB_OUTPUT: join(folder, 'output'),
    GITHUB_STEP_SUMMARY: join(folder, 'summary.md'),
    GITHUB_RUN_ID: String(Date.now()),
    GITHUB_RUN_ATTEMPT: '1',
    GITHUB_WORKFLOW: 'ClearML CI/CD',
    GITHUB_JOB: run.job,
    GITHUB_ACTOR: 'octocat',
    GITHUB_REF: run.ref,
    ...(run.commit === undefined ? {} : { GITHUB_SHA: run.commit }),
  };
}

interface StepRun {
  readonly exitCode: number;
  readonly outputs: Record<string, string>;
  readonly talk: readonly string[];
}

/**
 * Runs one program as the workflow does, in the checkout it is about, and shows what it says.
 *
 * @throws Error where it ends with another exit code than those expected
 */
async function runStep(
  { screen, signal, record }: DemoStage,
  program: ProgramName,
  args: readonly string[],
  env: Record<string, string>,
  expected: readonly number[],
): Promise<StepRun> {
  signal.throwIfAborted();
  record(`\n$ ${[program, ...args].join(' ')}`);
  const step = screen.program(program, args);
  writeFileSync(env.GITHUB_OUTPUT ?? '', '');
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), join(ROOT, 'cli', `${program}.ts`), ...args],
    {
      cwd: env.PWD,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const stop = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  const talk: string[] = [];
  createInterface({ input: child.stdout }).on('line', record);
  createInterface({ input: child.stderr }).on('line', (line) => {
    record(line);
    talk.push(line);
    step.talk(line);
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  step.end(exitCode);
  record(`exit ${exitCode}`);
  if (exitCode === null || !expected.includes(exitCode)) {
    throw new Error(
      `${program} ended with exit code ${exitCode}, not ${expected.join(' or ')}:\n${talk.slice(-20).join('\n')}`,
    );
  }
  return { exitCode, outputs: parseRunnerFile(readFileSync(env.GITHUB_OUTPUT ?? '', 'utf8')), talk };
}
