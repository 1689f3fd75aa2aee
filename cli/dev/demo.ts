import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { formatDuration } from '../core/duration.ts';
import { Failure } from '../core/failure.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { type ClearmlAgent, startClearmlAgent } from './clearml-agent.ts';
import {
  BASE_BRANCH,
  countUncommittedFiles,
  createDemoRepository,
  type DemoRepository,
  PULL_REQUEST_BRANCH,
} from './demo-repository.ts';
import { createDemoScreen } from './demo-screen.ts';
import type { ProgramName } from './program-run.ts';
import { preparePythonEnvironment } from './python-environment.ts';
import { writeRenderedComment } from './rendered-comment.ts';
import { checkGit } from './required-tools.ts';
import { parseRunnerFile } from './runner-file.ts';

/*
 * `npm run demo`: a real training by a real ClearML agent, launched, watched and reported by the three programs, for
 * the base branch, a pull request's first commit and a worse second one. Only ClearML's server and GitHub are doubles.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, '.cache', 'demo');
const PULL_REQUEST = 7;

const screen = createDemoScreen(process.stdout, process.env);
const interruption = new AbortController();
let exitCodeOfSignal = 130;
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // Every one is taken, also while we clear away: an impatient second Ctrl-C must not leave half of it.
  process.on(signal, () => {
    if (interruption.signal.aborted) return;
    exitCodeOfSignal = exitCode;
    interruption.abort(new Error(`interrupted by ${signal}`));
  });
}

/** What is to be undone at the end, however it ends; the last first. */
const cleanups: Array<() => unknown> = [];

try {
  await runDemo();
} catch (error) {
  process.exitCode = interruption.signal.aborted
    ? exitCodeOfSignal
    : error instanceof Failure
      ? error.exitCode
      : 1;
  if (interruption.signal.aborted) screen.say('Interrupted: stopping what was started.');
  else if (error instanceof Failure) screen.fail(`${error.message}\n${error.remedy}`);
  else screen.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  screen.end();
  for (const cleanUp of cleanups.reverse()) await cleanUp();
}

async function runDemo(): Promise<void> {
  screen.heading('Getting ready');
  await checkGit();
  const repository = createDemoRepository(ROOT);
  cleanups.push(repository.remove);
  const uncommitted = countUncommittedFiles(ROOT);
  if (uncommitted > 0)
    screen.say(
      `${uncommitted} files have uncommitted changes: the training and the demo's commits leave them out.`,
    );
  const python = await screen.step('Python environment (made once, then kept in .cache/)', (progress) =>
    preparePythonEnvironment({ onProgress: progress, signal: interruption.signal }),
  );
  const sandbox = await screen.step('Sandbox: a ClearML server and GitHub on this machine', () =>
    startSandbox({
      github: {
        repository: 'acme/digits',
        gitDir: repository.directory,
        pulls: [
          {
            number: PULL_REQUEST,
            headRef: PULL_REQUEST_BRANCH,
            baseRef: BASE_BRANCH,
            title: 'Tune the training',
          },
        ],
      },
    }),
  );
  cleanups.push(sandbox.close);
  const agent = await screen.step('A real clearml-agent that serves the queue "default"', () =>
    startClearmlAgent({
      server: sandbox.clearml.env,
      python: python.python,
      queue: 'default',
      workerId: 'demo-worker',
      packages: 'prepared',
    }),
  );
  cleanups.push(agent.stop);

  const stage: Stage = { repository, sandbox, agent };
  screen.heading('1. A push to the base branch: train_model.py as it is');
  await runPush(stage, repository.baseCommit);

  const better = repository.commitDefault('hidden_units', 96, 'Widen the hidden layer');
  screen.heading(`2. Pull request #${PULL_REQUEST}: a wider hidden layer (commit ${better.slice(0, 10)})`);
  await runPullRequest(stage, 'opened');

  const worse = repository.commitDefault('learning_rate', 0.0002, 'Lower the learning rate');
  screen.heading(
    `3. A second commit on pull request #${PULL_REQUEST}: a far too low learning rate (commit ${worse.slice(0, 10)})`,
  );
  await runPullRequest(stage, 'synchronize');

  await showComment(stage, python.python);
}

interface Stage {
  readonly repository: DemoRepository;
  readonly sandbox: Sandbox;
  readonly agent: ClearmlAgent;
}

/** On the base branch the model is trained, and nothing is commented. */
async function runPush(stage: Stage, commit: string): Promise<void> {
  const event = {
    ref: `refs/heads/${BASE_BRANCH}`,
    after: commit,
    repository: { clone_url: stage.repository.cloneUrl, default_branch: BASE_BRANCH },
  };
  const env = describeRun(stage, 'push', event, { GITHUB_SHA: commit, GITHUB_REF: event.ref });
  const { outputs } = await runStep('launch-training-task', [], env);
  await runStep('check-task-running', [outputs['task-ids'] ?? ''], env);
}

/** The chain of the workflow: launch, check, comment; the task id passes through the outputs. */
async function runPullRequest(stage: Stage, action: 'opened' | 'synchronize'): Promise<void> {
  const { sandbox, repository } = stage;
  const event = await sandbox.github.pullRequestEvent(PULL_REQUEST, action);
  // The double of GitHub serves no git; the agent clones the scratch repository by its path.
  const local = {
    ...event,
    pull_request: {
      ...event.pull_request,
      head: {
        ...event.pull_request.head,
        repo: { ...event.pull_request.head.repo, clone_url: repository.cloneUrl },
      },
    },
  };
  const env = describeRun(stage, 'pull_request', local, { GITHUB_REF: `refs/pull/${PULL_REQUEST}/merge` });
  const { outputs } = await runStep('launch-training-task', [], env);
  const taskIds = outputs['task-ids'] ?? '';
  const { talk } = await runStep('check-task-running', [taskIds], env);
  await runStep('create-stats-comment', [taskIds], env);
  checkComment(stage, talk);
}

/** The comment must be the only one and carry the accuracy that this very training has computed and printed. */
function checkComment({ sandbox }: Stage, log: readonly string[]): void {
  const accuracy = log
    .map((line) => /^test accuracy (\d\.\d+)$/.exec(line.trim())?.[1])
    .find((value) => value !== undefined);
  const comments = sandbox.github.comments(PULL_REQUEST);
  const body = comments[0]?.body ?? '';
  const row = body.split('\n').find((line) => line.startsWith('| `test_accuracy/accuracy`'));
  const reported = /(\d\.\d+)/.exec(row ?? '')?.[1];
  if (comments.length !== 1 || accuracy === undefined || Number(reported).toFixed(4) !== accuracy) {
    throw new Error(
      `the training printed test accuracy ${accuracy}, and ${comments.length} comments carry ${reported}:\n${body}`,
    );
  }
  screen.done(
    `The one comment on pull request #${PULL_REQUEST} now says test accuracy ${accuracy}, as the training printed it.`,
  );
}

/** What the runner sets for a run of the workflow. */
function describeRun(
  { sandbox, repository }: Stage,
  eventName: string,
  event: object,
  more: Record<string, string>,
): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-demo-run-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const eventPath = join(folder, 'event.json');
  writeFileSync(eventPath, JSON.stringify(event));
  return {
    ...sandbox.env,
    PWD: repository.directory,
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_NAME: eventName,
    GITHUB_EVENT_PATH: eventPath,
    GITHUB_OUTPUT: join(folder, 'output'),
    GITHUB_STEP_SUMMARY: join(folder, 'summary.md'),
    GITHUB_RUN_ID: String(Date.now()),
    GITHUB_RUN_ATTEMPT: '1',
    GITHUB_WORKFLOW: 'ClearML CI/CD',
    GITHUB_JOB: 'train',
    GITHUB_ACTOR: 'octocat',
    ...more,
  };
}

/** Runs one program as the workflow does, in the checkout it is about, and shows what it says. */
async function runStep(
  program: ProgramName,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ readonly outputs: Record<string, string>; readonly talk: readonly string[] }> {
  interruption.signal.throwIfAborted();
  screen.command(`${program} ${args.join(' ')}`.trim());
  const beganAt = performance.now();
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
  interruption.signal.addEventListener('abort', stop, { once: true });
  const talk: string[] = [];
  createInterface({ input: child.stdout }).on('line', screen.result);
  createInterface({ input: child.stderr }).on('line', (line) => {
    talk.push(line);
    screen.talk(line);
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  interruption.signal.removeEventListener('abort', stop);
  interruption.signal.throwIfAborted();
  screen.done(`${program}: exit ${exitCode} after ${formatDuration(performance.now() - beganAt)}`);
  if (exitCode !== 0) throw new Error(`${program} ended with exit code ${exitCode}`);
  return { outputs: parseRunnerFile(readFileSync(env.GITHUB_OUTPUT ?? '', 'utf8')), talk };
}

async function showComment({ sandbox }: Stage, python: string): Promise<void> {
  const comments = sandbox.github.comments(PULL_REQUEST);
  const [comment] = comments;
  if (comment === undefined || comments.length !== 1)
    throw new Error(`expected one comment, found ${comments.length}`);
  screen.heading(`The one comment on pull request #${PULL_REQUEST}, as Markdown`);
  screen.say(comment.body);
  mkdirSync(CACHE, { recursive: true });
  const page = join(CACHE, 'comment.html');
  await writeRenderedComment(comment.body, page, python);
  screen.heading('Look at it');
  screen.say(`The comment as GitHub renders it: ${pathToFileURL(page).href}`);
}
