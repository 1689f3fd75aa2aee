/**
 * Makes the README's pictures: a base commit, a pull request that changes a param and one that breaks the training go
 * through the three programs, with a real agent and a real training; their comments are drawn as GitHub shows them.
 *
 * node --import tsx cli/dev/write-pictures.ts
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startSandbox } from '../sandbox/sandbox.ts';
import { startClearmlAgent } from './clearml-agent.ts';
import { BASE_BRANCH, createDemoRepository, PULL_REQUEST_BRANCH } from './demo-repository.ts';
import { type ProgramName, runProgramProcess } from './program-run.ts';
import { preparePythonEnvironment } from './python-environment.ts';
import { drawPictures } from './report-picture.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ASSETS = join(ROOT, '.github', 'assets');
const PULL_REQUEST = 7;

const repository = createDemoRepository(ROOT);
const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-pictures-'));
const better = repository.commitDefault('weight_decay', 0.1, 'Regularise more');
const broken = repository.commitDefault('learning_rate', 1e6, 'Raise the learning rate');
const sandbox = await startSandbox({
  github: {
    gitDir: repository.directory,
    pulls: [{ number: PULL_REQUEST, headRef: PULL_REQUEST_BRANCH, headSha: better, baseRef: BASE_BRANCH }],
  },
});
const { python } = await preparePythonEnvironment();
const agent = await startClearmlAgent({
  server: sandbox.clearml.env,
  python,
  queue: 'default',
  workerId: 'agent-1',
  packages: 'prepared',
});

async function run(program: ProgramName, args: readonly string[], env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = await runProgramProcess(program, {
    args,
    cwd: folder,
    env: { ...sandbox.env, GITHUB_RUN_ID: '42', ...env },
  });
  if (exitCode !== 0 && program !== 'check-task-running') throw new Error(stderr);
  return stdout.trim();
}

async function train(commit: string, branch: string, event: Record<string, string>): Promise<string> {
  const names = ['--project', 'digits', '--task-name', 'train digits'];
  const id = await run('launch-training-task', [repository.cloneUrl, branch, commit, ...names], event);
  await run('check-task-running', [id]);
  return id;
}

async function comment(commit: string): Promise<string> {
  const env = { GITHUB_EVENT_NAME: 'pull_request', PR_NUMBER: String(PULL_REQUEST) };
  sandbox.github.setPullHead(PULL_REQUEST, commit);
  return run('create-stats-comment', [await train(commit, PULL_REQUEST_BRANCH, env), '--dry-run'], env);
}

/** Nobody wants to see where the checkout of whoever made the pictures lies. */
function hidePaths(text: string): string {
  return text
    .replaceAll(dirname(dirname(python)), '/opt/venv')
    .replace(/[^\s"]*\/task_repository\/[^/"]+\//g, '/home/agent/.clearml/task_repository/digits/');
}

try {
  await train(repository.baseCommit, BASE_BRANCH, { GITHUB_EVENT_NAME: 'push' });
  const texts = [await comment(better), await comment(broken)];
  const pictures = await drawPictures(texts.map(hidePaths));
  mkdirSync(ASSETS, { recursive: true });
  for (const [index, name] of ['comment-completed.png', 'comment-failed.png'].entries()) {
    const picture = pictures[index];
    if (picture !== undefined) writeFileSync(join(ASSETS, name), picture);
  }
} finally {
  await agent.stop();
  await sandbox.close();
  repository.remove();
  rmSync(folder, { recursive: true, force: true });
}
