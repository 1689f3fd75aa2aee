import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { buildBundles, PROGRAM_NAMES } from '../dev/bundle.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { readJavascriptAction } from '../dev/javascript-action.ts';
import { findNodeDirectory } from '../dev/node-release.ts';
import { runProgramProcess } from '../dev/program-run.ts';
import { type CancelTimes, runWorkflowJob, type WorkflowRun } from '../dev/workflow-runner.ts';
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

test("the one action is valid by GitHub's own parser, and ends with a file of its own", () => {
  const action = readJavascriptAction(release);
  const post = { file: join(release, 'post.mjs'), condition: 'cancelled()' };
  expect(action).toMatchObject({ using: 'node24', main: join(release, 'index.mjs'), post });
});

/** The workflows that `.github/WORKFLOW.md` shows: the one action's, the same with three actions, and the base branch's. */
function readWorkflow(kind: 'one action' | 'three actions' | 'base'): string {
  const page = readFileSync(new URL('../../.github/WORKFLOW.md', import.meta.url), 'utf8');
  const section = page.slice(page.indexOf('## Use the actions'));
  const blocks = [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block);
  const [one, steps, base] = blocks;
  if (one === undefined || steps === undefined || base === undefined)
    throw new Error('.github/WORKFLOW.md shows fewer workflows.');
  if (kind === 'base') return base;
  return kind === 'one action'
    ? one
    : one.replace(/(?<=^ {4}steps:\n)[\s\S]*/m, steps.replace(/^/gm, '      '));
}

describeOnNode24('the workflow of .github/WORKFLOW.md, in a repository that has no file of ours', () => {
  let sandbox: Sandbox;
  let driver: ClearmlDriver;
  let workspace: string;
  let requests = 0;
  let onRequest: (endpoint: string) => void;

  beforeEach(async () => {
    requests = 0;
    onRequest = () => undefined;
    workspace = mkdtempSync(join(tmpdir(), 'workspace-'));
    sandbox = await startSandbox({
      clearml: {
        onRequest: ({ endpoint }) => {
          requests += 1;
          onRequest(endpoint);
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
    {
      kind = 'three actions',
      edit = (text) => text,
      action = 'synchronize',
      eventName = 'pull_request',
      secrets = { ACCESS_KEY: sandbox.clearml.accessKey, SECRET_KEY: sandbox.clearml.secretKey },
      runId = '4711',
      more = {},
      cancel,
      cancelTimes,
      onStep,
    }: JobOptions = {},
  ): Promise<WorkflowRun> {
    const { clearml, github } = sandbox;
    const event = { ...(await github.pullRequestEvent(PULL, action)), ...more };
    let isOver = false;
    const running = runWorkflowJob({
      workflow: edit(readWorkflow(kind)),
      job: 'train',
      github: {
        event,
        event_name: eventName,
        actor: event.sender.login,
        repository: github.repository,
        token: github.token,
        api_url: github.apiUrl,
        server_url: github.serverUrl,
        sha: event.pull_request.merge_commit_sha,
        ref: `refs/pull/${PULL}/merge`,
        run_id: runId,
        run_attempt: '1',
        workflow: 'ClearML CI/CD',
      },
      secrets,
      machineEnv: {
        PATH: `${node24}${delimiter}${process.env.PATH}`,
        // A user of the hosted server needs no address.
        CLEARML_API_HOST: clearml.apiHost,
        CLEARML_WEB_HOST: clearml.webHost,
        CLEARML_FILES_HOST: clearml.filesHost,
      },
      workspace,
      actions: {
        'OWNER/REPO': release,
        ...Object.fromEntries(
          PROGRAM_NAMES.map((program) => [`OWNER/REPO/${program}`, join(release, program)]),
        ),
      },
      ...(cancel === undefined ? {} : { cancel }),
      ...(cancelTimes === undefined ? {} : { cancelTimes }),
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
    const [run] = await Promise.all([running, Promise.race([work.catch(() => undefined), running])]);
    return run;
  }

  interface JobOptions {
    readonly kind?: Parameters<typeof readWorkflow>[0];
    /** Of the workflow's text. */
    readonly edit?: (text: string) => string;
    readonly action?: 'opened' | 'synchronize' | 'closed';
    readonly eventName?: string;
    readonly secrets?: Readonly<Record<string, string>>;
    readonly runId?: string;
    /** Of the event. */
    readonly more?: Readonly<Record<string, unknown>>;
    readonly cancel?: AbortSignal;
    readonly cancelTimes?: CancelTimes;
    readonly onStep?: (name: string) => void;
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

  /** Cancels the run when the wait of this step is under way. */
  async function cancelWait(step: number, options: JobOptions = {}): Promise<WorkflowRun> {
    const cancel = new AbortController();
    let steps = 0;
    const onStep = () => {
      steps += 1;
      requests = 0;
    };
    return runJob(
      async () => {
        // Requests of the agent do not count.
        requests = 0;
        // After the first request of the wait, the program handles signals.
        while (steps < step || requests === 0) await sleep(20);
        cancel.abort();
      },
      { ...options, cancel: cancel.signal, onStep },
    );
  }

  const listStatuses = async () => (await driver.listTasks()).map(({ status }) => status);
  const readBodies = () => sandbox.github.comments(PULL).map(({ body }) => body);

  test('ends the training of a cancelled run', async () => {
    const run = await cancelWait(2);
    expect(summarize(run)).toMatchObject({ conclusion: 'cancelled', exitCodes: [0, 130, null, 0] });
    expect(await listStatuses()).toEqual(['stopped']);
  });

  describe('as one action', () => {
    const kind = 'one action';

    test('is cancelled by a push, trains that, and ends what is left when the pull request is closed', async () => {
      const first = await cancelWait(1, { kind, action: 'opened', runId: '1' });
      expect(summarize(first)).toMatchObject({ conclusion: 'cancelled', exitCodes: [130, 0] });
      expect(first.steps.map(({ name }) => name.startsWith('Post '))).toEqual([false, true]);
      expect(await listStatuses()).toEqual(['stopped']);
      expect(readBodies()).toEqual([expect.stringMatching(/^### .*(?:cancelled|ended|stopped)/m)]);

      const second = await runJob(
        async (id) => {
          await driver.reportScalars(id, 'test_accuracy', 'accuracy', [0.9375]);
          while (!/is running/.test(readBodies()[0] ?? '')) await sleep(50);
          await driver.completeTask(id);
        },
        { kind, runId: '2' },
      );
      expect(summarize(second)).toMatchObject({ conclusion: 'success', exitCodes: [0] });
      expect(second.name).toBe('Train and report');
      expect(second.steps[0]?.outputs).toMatchObject({
        'task-ids': (await driver.listTasks())[1]?.id,
        'task-url': expect.stringContaining('/'),
        status: 'completed',
        verdict: 'none',
        metrics: expect.stringContaining('0.9375'),
        'comment-url': expect.stringContaining('#issuecomment-'),
        'model-id': '',
      });
      expect(second.steps[0]?.summary.match(/^### /gm)).toHaveLength(1);
      expect(readBodies()).toEqual([expect.stringContaining('0.9375')]);
      expect(summarize(second).said).not.toContain(sandbox.clearml.secretKey);

      const closed = await runJob(async () => undefined, { kind, action: 'closed', runId: '3' });
      expect(summarize(closed)).toMatchObject({ conclusion: 'success', exitCodes: [0] });
      expect(closed.name).toBe('End what is unfinished');
      expect(closed.steps[0]?.stderr).toContain('Nothing to abort');
      expect(readBodies()).toHaveLength(1);
    });

    const atOnce: CancelTimes = { interruptMs: 0, terminateMs: 0 };
    const rename = (text: string) => text.replace('train_model.py', 'jobs/learn.py');

    test('ends the training of a run that was killed, and the comment says so', async () => {
      const cancel = new AbortController();
      const train = async () => {
        while (!/is running/.test(readBodies()[0] ?? '')) await sleep(50);
        cancel.abort();
      };
      const run = await runJob(train, { kind, cancel: cancel.signal, cancelTimes: atOnce });
      expect(summarize(run)).toMatchObject({ conclusion: 'cancelled', exitCodes: [null, 0] });
      expect(await listStatuses()).toEqual(['stopped']);
      expect(readBodies()).toEqual([expect.stringContaining('was cancelled')]);
    });

    test('ends what a run has launched that was killed while it launched', async () => {
      const cancel = new AbortController();
      onRequest = (endpoint) => {
        if (endpoint === 'tasks.enqueue') cancel.abort();
      };
      const options = { kind, edit: rename, cancel: cancel.signal, cancelTimes: atOnce } as const;
      const run = await runJob(() => new Promise(() => undefined), options);
      expect(summarize(run)).toMatchObject({ conclusion: 'cancelled', exitCodes: [null, 0] });
      expect((await driver.listTasks()).map(({ name, status }) => [name, status])).toEqual([
        ['jobs/learn', expect.not.stringMatching(/queued|progress/)],
      ]);
    });

    test('ends nothing for a step that is cancelled after it', async () => {
      const cancel = new AbortController();
      const onStep = (name: string) => {
        if (name === 'Later') setTimeout(() => cancel.abort(), 200);
      };
      const edit = (text: string) => `${text}      - name: Later\n        run: exec sleep 5\n`;
      const run = await runJob((id) => driver.completeTask(id), {
        kind,
        edit,
        cancel: cancel.signal,
        onStep,
      });
      expect(summarize(run)).toMatchObject({ conclusion: 'cancelled', exitCodes: [0, null, 0] });
      expect(run.steps[2]).toMatchObject({ stdout: '', stderr: '' });
      expect(await listStatuses()).toEqual(['completed']);
    });

    test('ends the training of a closed pull request, of the pipeline that its inputs name', async () => {
      const id = await launchBySide();
      const run = await runJob(() => new Promise(() => undefined), { kind, edit: rename, action: 'closed' });
      expect(summarize(run)).toMatchObject({ conclusion: 'success', exitCodes: [0] });
      expect((await driver.getTask(id)).status).toBe('stopped');
      expect(readBodies()).toEqual([expect.stringContaining('closed')]);
    });

    test.each<[what: string, exitCode: number, settings: string, end: (id: string) => Promise<unknown>]>([
      ['a training that failed', 3, 'gate: fail', (id) => driver.failTask(id)],
      ['a gated metric that is missing', 6, 'gate: fail', (id) => driver.completeTask(id)],
      ['the same, where the gate only warns', 0, 'gate: warn', (id) => driver.completeTask(id)],
    ])('ends, after %s, with %i', async (_, exitCode, gate, end) => {
      mkdirSync(join(workspace, '.github'));
      const settings = `metrics:\n  - { metric: test_accuracy/accuracy, goal: maximize, ${gate} }\n`;
      writeFileSync(join(workspace, '.github', 'clearml-ci.yml'), settings);
      const run = await runJob(end, { kind });
      expect(summarize(run).exitCodes).toEqual([exitCode]);
      expect(readBodies()).toHaveLength(1);
    });
  });

  /** An earlier run's training of the same pull request. */
  async function launchBySide(): Promise<string> {
    const { env, github } = sandbox;
    const event = join(workspace, 'event.json');
    writeFileSync(event, JSON.stringify(await github.pullRequestEvent(PULL, 'opened')));
    const launched = await runProgramProcess('launch-training-task', {
      args: ['--entry-point', 'jobs/learn.py'],
      env: { ...env, GITHUB_ACTIONS: 'true', GITHUB_EVENT_PATH: event, GITHUB_EVENT_NAME: 'pull_request' },
      cwd: workspace,
    });
    expect(launched).toMatchObject({ exitCode: 0 });
    return launched.stdout.trim();
  }
});
