import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { buildBundles, PROGRAM_NAMES } from '../dev/bundle.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { readJavascriptAction } from '../dev/javascript-action.ts';
import { findNodeDirectory } from '../dev/node-release.ts';
import { runWorkflowJob, type WorkflowRun } from '../dev/workflow-runner.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

const PULL = 7;
const HEAD = 'a'.repeat(40);
const node24 = await findNodeDirectory(24);
/** npm has Node 24 for Linux x64 only. Elsewhere the running Node must be 24. */
const describeOnNode24 = node24 === undefined ? describe.skip : describe;

let release: string;
beforeAll(async () => {
  release = mkdtempSync(join(tmpdir(), 'release-'));
  await buildBundles(release);
});
afterAll(() => rmSync(release, { recursive: true, force: true }));

test.each([...PROGRAM_NAMES])(
  "%s is a valid action by GitHub's own parser, and runs on its newest Node",
  (program) => {
    const action = readJavascriptAction(join(release, program));
    expect(action).toMatchObject({ using: 'node24', main: join(release, program, 'index.mjs') });
  },
);

/** The workflows that `.github/WORKFLOW.md` shows for them: the pull request's and the base branch's. */
function readWorkflow(kind: 'pull request' | 'base'): string {
  const page = readFileSync(new URL('../../.github/WORKFLOW.md', import.meta.url), 'utf8');
  const section = page.slice(page.indexOf('## Use the actions'));
  const blocks = [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block);
  const block = blocks[kind === 'pull request' ? 0 : 1];
  if (block === undefined) throw new Error(`.github/WORKFLOW.md shows no workflow for the ${kind}.`);
  return block;
}

describeOnNode24('the workflow of .github/WORKFLOW.md, in a repository that has no file of ours', () => {
  let sandbox: Sandbox;
  let driver: ClearmlDriver;
  let workspace: string;
  let requests = 0;

  beforeEach(async () => {
    requests = 0;
    workspace = mkdtempSync(join(tmpdir(), 'workspace-'));
    sandbox = await startSandbox({
      clearml: {
        onRequest: () => {
          requests += 1;
        },
      },
      github: { pulls: [{ number: PULL, headRef: 'topic', headSha: HEAD, baseRef: 'main' }] },
    });
    driver = createClearmlDriver(sandbox.clearml.env);
  });

  afterEach(async () => {
    await sandbox.close();
    rmSync(workspace, { recursive: true, force: true });
  });

  /** Runs the job while an agent takes the launched task and `train` acts as the training. */
  async function runJob(
    train: (id: string) => Promise<unknown>,
    { cancel, onStep }: { cancel?: AbortSignal; onStep?: (name: string) => void } = {},
  ): Promise<WorkflowRun> {
    const { clearml, github } = sandbox;
    const event = await github.pullRequestEvent(PULL, 'synchronize');
    let isOver = false;
    const running = runWorkflowJob({
      workflow: readWorkflow('pull request'),
      job: 'train',
      github: {
        event,
        event_name: 'pull_request',
        repository: github.repository,
        token: github.token,
        api_url: github.apiUrl,
        server_url: github.serverUrl,
        sha: event.pull_request.merge_commit_sha,
        ref: `refs/pull/${PULL}/merge`,
        run_id: '4711',
        run_attempt: '1',
        workflow: 'ClearML CI/CD',
      },
      secrets: { ACCESS_KEY: clearml.accessKey, SECRET_KEY: clearml.secretKey },
      machineEnv: {
        PATH: `${node24}${delimiter}${process.env.PATH}`,
        // A user of the hosted server needs no address.
        CLEARML_API_HOST: clearml.apiHost,
        CLEARML_WEB_HOST: clearml.webHost,
        CLEARML_FILES_HOST: clearml.filesHost,
      },
      workspace,
      actions: Object.fromEntries(
        PROGRAM_NAMES.map((program) => [`OWNER/REPO/${program}`, join(release, program)]),
      ),
      ...(cancel === undefined ? {} : { cancel }),
      ...(onStep === undefined ? {} : { onStep }),
    }).finally(() => {
      isOver = true;
    });
    const work = (async () => {
      while (!isOver) {
        const queued = (await driver.listTasks()).find(({ status }) => status === 'queued');
        if (queued === undefined) await sleep(50);
        else {
          await driver.startTask(queued.id);
          await train(queued.id);
          return;
        }
      }
      throw new Error('The job ended without a task for the agent.');
    })();
    const [run] = await Promise.all([running, work.catch(() => undefined)]);
    return run;
  }

  const summarize = ({ conclusion, steps }: WorkflowRun) => ({
    conclusion,
    exitCodes: steps.map(({ exitCode }) => exitCode),
    said: steps.map(({ stdout, stderr }) => stdout + stderr).join('\n'),
  });

  test('trains the pull request and posts the comment with the job’s own token', async () => {
    const run = await runJob(async (id) => {
      await driver.reportScalars(id, 'test_accuracy', 'accuracy', [0.9375]);
      // The neighbouring action has the comment tell that it runs.
      while (!/is running/.test(sandbox.github.comments(PULL)[0]?.body ?? '')) await sleep(50);
      await driver.completeTask(id);
    });
    expect(summarize(run)).toMatchObject({ conclusion: 'success', exitCodes: [0, 0, 0, null] });
    expect(run.steps[1]?.outputs).toMatchObject({ status: 'completed' });
    expect(run.steps[1]?.outputs).not.toHaveProperty('comment-id');
    expect(run.steps.map(({ summary }) => summary.match(/^### /gm)?.length ?? 0)).toEqual([0, 0, 1, 0]);
    // The README says to require this check.
    expect(run.name).toBe('Train and report');
    const [task] = await driver.listTasks();
    expect(task).toMatchObject({
      status: 'completed',
      script: { version_num: HEAD, entry_point: 'train_model.py' },
      tags: expect.arrayContaining([`pr:${PULL}`]),
    });
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ author: 'github-actions[bot]', body: expect.stringContaining('0.9375') }),
    ]);
    expect(summarize(run).said).not.toContain(sandbox.clearml.secretKey);
  });

  test('trains a push to the base branch by the second file, without a token', async () => {
    const { clearml, github } = sandbox;
    const { repository } = await github.pullRequestEvent(PULL, 'synchronize');
    const run = await runWorkflowJob({
      workflow: readWorkflow('base'),
      job: 'base',
      github: {
        event: { repository },
        event_name: 'push',
        repository: github.repository,
        token: '',
        api_url: github.apiUrl,
        server_url: github.serverUrl,
        sha: HEAD,
        ref: 'refs/heads/main',
        run_id: '4712',
        run_attempt: '1',
        workflow: 'ClearML base',
      },
      secrets: { ACCESS_KEY: clearml.accessKey, SECRET_KEY: clearml.secretKey },
      machineEnv: {
        PATH: `${node24}${delimiter}${process.env.PATH}`,
        CLEARML_API_HOST: clearml.apiHost,
      },
      workspace,
      actions: { 'OWNER/REPO/launch-training-task': join(release, 'launch-training-task') },
    });
    expect(summarize(run)).toMatchObject({ conclusion: 'success', exitCodes: [0] });
    expect(await driver.listTasks()).toEqual([
      expect.objectContaining({ status: 'queued', script: expect.objectContaining({ version_num: HEAD }) }),
    ]);
  });

  test('reports a training that failed, and fails', async () => {
    const run = await runJob((id) => driver.failTask(id));
    expect(summarize(run)).toMatchObject({ conclusion: 'failure', exitCodes: [0, 3, 0, null] });
    expect(sandbox.github.comments(PULL)).toHaveLength(1);
  });

  test('ends the training of a cancelled run', async () => {
    const cancel = new AbortController();
    let steps = 0;
    const onStep = () => {
      steps += 1;
      requests = 0;
    };
    const run = await runJob(
      async () => {
        // Requests of the agent do not count.
        requests = 0;
        // After the first request of the wait, the program handles signals.
        while (steps < 2 || requests === 0) await sleep(20);
        cancel.abort();
      },
      { cancel: cancel.signal, onStep },
    );
    expect(summarize(run)).toMatchObject({ conclusion: 'cancelled', exitCodes: [0, 130, null, 0] });
    expect((await driver.listTasks()).map(({ status }) => status)).toEqual(['stopped']);
  });
});
