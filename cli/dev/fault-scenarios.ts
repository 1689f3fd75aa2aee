import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openGitHistory } from '../sandbox/git-history.ts';
import { identifyRepository } from '../shell/git-url.ts';
import type { World } from '../shell/world.ts';
import { type Due, formatDue, keyOfDue, listOpenDues } from '../training/due.ts';
import { hashPipeline, hashText } from '../training/pipeline.ts';
import type { ClearmlDriver } from './clearml-driver.ts';
import type { MatrixRequest, Outcome, Scenario, Stage } from './fault-matrix.ts';
import { type ProgramName, runProgramHere } from './program-run.ts';
import { rememberHistory } from './remembered-history.ts';
import type { ScratchRepository } from './scratch-repository.ts';

const CLONE_URL = 'https://github.com/acme/digits.git';
const COMMIT = 'a'.repeat(40);
const OLDER_COMMIT = 'b'.repeat(40);
const RUN_ID = '1001';

type Main = (world: World) => Promise<number>;

/**
 * The scenarios of a program: its main, in each of the ways that make other requests.
 *
 * @param repository an empty one; it is committed to now, and not after that
 */
export function createScenarios(
  program: ProgramName,
  main: Main,
  repository: ScratchRepository,
): readonly Scenario[] {
  if (program === 'launch-training-task') return createLaunchScenarios(main);
  return program === 'check-task-running'
    ? createCheckScenarios(main)
    : createCommentScenarios(main, repository);
}

/** What the tests of a program that makes them look at; tasks in the order of their creation. */
async function readTasks({ driver }: Pick<Outcome, 'driver'>) {
  const tasks = await driver.listTasks();
  return {
    all: tasks,
    queued: tasks.filter((task) => task.status === 'queued').map((task) => task.id as string),
  };
}

/** A launch that failed has said nothing, and has taken back what it queued, or says that it could not. */
async function judgeFailedLaunch(outcome: Outcome, queuedBefore: number): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = outcome;
  if (exitCode !== 9) return `exit code ${exitCode}`;
  if (stdout !== '') return `it failed, and printed ${stdout}`;
  const { queued } = await readTasks(outcome);
  // A draft may be left where the server could not be asked any more; that is said, and the next launch takes it.
  if (queued.length > queuedBefore && !/not confirmed: (?:task|project) /.test(stderr))
    return `it failed, and ${queued.length} tasks are queued`;
  return undefined;
}

const launchArgs = (commit = COMMIT) => [CLONE_URL, 'feature', commit];

/** Another launch before the one that is disturbed. */
async function launchBefore(
  launch: Main,
  stage: Stage,
  commit: string,
  env: Readonly<Record<string, string>>,
) {
  const { exitCode, stdout, stderr } = await stage.run(launch, launchArgs(commit), env);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
}

async function enqueueTask(driver: ClearmlDriver, fields: object = {}): Promise<string> {
  const id = await driver.createTask(fields);
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  return id;
}

async function runTask(driver: ClearmlDriver, fields: object = {}): Promise<string> {
  const id = await enqueueTask(driver, fields);
  await driver.startTask(id);
  return id;
}

async function trainTask(driver: ClearmlDriver, accuracies: readonly number[], fields: object = {}) {
  const id = await runTask(driver, fields);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', accuracies);
  await driver.completeTask(id);
  return id;
}

/** Does the n-th thing when the program looks at the tasks for the n-th time, from the second time on. */
function actAtLooks(...acts: ReadonlyArray<() => Promise<unknown>>) {
  let looks = 0;
  return async ({ endpoint }: MatrixRequest) => {
    if (endpoint !== 'tasks.get_all') return;
    looks += 1;
    await acts[looks - 2]?.();
  };
}

function judgeComment(expected: string, outcome: Outcome): string | undefined {
  const { sandbox, exitCode, stdout, scenario } = outcome;
  const comments = sandbox.github.comments(7);
  if (comments.length > 1) return `${comments.length} comments`;
  if (exitCode === scenario.exitCode) {
    if (!comments[0]?.body.includes(expected)) return `the comment says ${comments[0]?.body}`;
    return /#issuecomment-\d+\n$/.test(stdout) ? undefined : `it printed ${stdout}`;
  }
  return exitCode === 9 ? undefined : `exit code ${exitCode}`;
}

/**
 * There is always a comment. Two are left where the deletion failed, which is said, or where the program could not go on
 * after the creation; the newer one has the text.
 */
function judgeRecreated(expected: string, outcome: Outcome): string | undefined {
  const { sandbox, exitCode, stdout, stderr } = outcome;
  const [first, second, ...more] = sandbox.github.comments(7);
  if (first === undefined || more.length > 0) return `${more.length + (first ? 2 : 0)} comments`;
  if (exitCode === 9) return undefined;
  if (exitCode !== 0) return `exit code ${exitCode}`;
  const newer = second ?? first;
  if (!newer.body.includes(expected)) return `the comment says ${newer.body}`;
  if (!stdout.endsWith(`#issuecomment-${newer.id}\n`)) return `it printed ${stdout}`;
  const isSaid = stderr.includes('the old comment on pull request 7 was not deleted');
  return second === undefined || isSaid ? undefined : 'two comments, and nothing said';
}

/** The variables of a tick. */
const TICK = { GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: 'schedule', GITHUB_RUN_ID: '9000' };

/** What a detached launch notes on its task, for a pull request that nobody waits for. */
async function noteDetached(
  { sandbox }: Pick<Stage, 'sandbox'>,
  commit: string,
  due: Partial<Due> = {},
): Promise<Record<string, string>> {
  const repository = identifyRepository(`${sandbox.github.serverUrl}/acme/digits`);
  const note: Due = {
    to: 7,
    commit,
    launch: commit,
    count: 1,
    runId: RUN_ID,
    base: undefined,
    atMs: 1,
    timeoutMs: 3_600_000,
    queueTimeoutMs: 60_000,
    retries: 0,
    settings: undefined,
    context: 'ClearML',
    isDetached: true,
    ...due,
  };
  return {
    ci_due: await hashText(repository),
    ci_pipeline: await hashPipeline({ repository, project: 'digits', taskName: 'train' }),
    ci_run: RUN_ID,
    ci_launch: commit,
    ci_pull_request: '7',
    ci_use_7: `${commit} feature ${CLONE_URL}`,
    [keyOfDue(7)]: formatDue(note),
  };
}

/** Another tick, that nothing disturbs. */
async function tickAgain(main: Main, { sandbox, clock }: Outcome, args: readonly string[]) {
  const env = { ...sandbox.env, ...TICK };
  return runProgramHere(main, { args, env, cwd: tmpdir(), clock });
}

function createLaunchScenarios(launch: Main): readonly Scenario[] {
  const LAUNCH = { program: 'launch-training-task', main: launch, exitCode: 0, limitMs: 60_000 } as const;

  return [
    {
      ...LAUNCH,
      name: 'launch: a new training',
      prepare: async () => ({ args: launchArgs(), env: { PR_NUMBER: '7' } }),
      async judge(outcome) {
        if (outcome.exitCode !== 0) return judgeFailedLaunch(outcome, 0);
        const { all, queued } = await readTasks(outcome);
        return all.length === 1 && queued[0] === outcome.stdout.trim()
          ? undefined
          : `tasks ${JSON.stringify(all.map((task) => task.status))}`;
      },
    },
    {
      ...LAUNCH,
      name: 'launch: a training of another pull request is reused',
      async prepare(stage) {
        await launchBefore(launch, stage, COMMIT, { PR_NUMBER: '8' });
        return { args: launchArgs(), env: { PR_NUMBER: '7' } };
      },
      async judge(outcome) {
        const { all, queued } = await readTasks(outcome);
        if (all.length !== 1 || queued.length !== 1)
          return `tasks ${JSON.stringify(all.map((task) => task.status))}`;
        if (outcome.exitCode !== 0) return judgeFailedLaunch(outcome, 1);
        if (!all[0]?.tags.includes('pr:7')) return 'the task does not carry this pull request’s tag';
        return outcome.stdout.trim() === queued[0] ? undefined : `it printed ${outcome.stdout}`;
      },
    },
    {
      ...LAUNCH,
      name: 'launch: an older commit’s training is superseded',
      async prepare(stage) {
        await launchBefore(launch, stage, OLDER_COMMIT, { PR_NUMBER: '7', GITHUB_RUN_ID: '1000' });
        return { args: launchArgs(), env: { PR_NUMBER: '7', GITHUB_RUN_ID: RUN_ID } };
      },
      async judge(outcome) {
        if (outcome.exitCode !== 0) return judgeFailedLaunch(outcome, 1);
        const { all, queued } = await readTasks(outcome);
        const older = all.find((task) => task.runtime.ci_run === '1000');
        const id = outcome.stdout.trim();
        if (!queued.includes(id)) return `task ${id} is not queued`;
        if (queued.length === 1) return undefined;
        const isSaid = outcome.stderr.includes(
          `not confirmed: superseded task ${older?.id} of an older commit`,
        );
        return queued.length === 2 && isSaid
          ? undefined
          : `${queued.length} tasks are queued, and nothing said`;
      },
    },
    {
      ...LAUNCH,
      name: 'launch: two seeds',
      prepare: async () => ({ args: [...launchArgs(), '--seeds', '2'], env: { PR_NUMBER: '7' } }),
      async judge(outcome) {
        if (outcome.exitCode !== 0) return judgeFailedLaunch(outcome, 0);
        const { all, queued } = await readTasks(outcome);
        const printed = outcome.stdout.trim().split('\n').sort().join();
        return all.length === 2 && [...queued].sort().join() === printed
          ? undefined
          : `tasks ${JSON.stringify(all.map((task) => task.status))}`;
      },
    },
  ];
}

function createCheckScenarios(check: Main): readonly Scenario[] {
  const CHECK = { program: 'check-task-running', main: check, exitCode: 0, limitMs: 150_000 } as const;
  const OUTAGE = ['--outage-timeout', '2m', '--poll-interval', '5s'];

  return [
    {
      ...CHECK,
      name: 'check: a training that has ended',
      async prepare({ driver }) {
        const id = await runTask(driver);
        await driver.logLines(id, ['one', 'two']);
        await driver.completeTask(id);
        return { args: [id, ...OUTAGE], env: {} };
      },
      judge: async (outcome) => judgeWatch('completed\n', outcome),
    },
    {
      ...CHECK,
      name: 'check: a training that waits, runs and ends',
      async prepare({ driver }) {
        const id = await enqueueTask(driver);
        const meanwhile = actAtLooks(
          () => driver.startTask(id),
          () => driver.logLines(id, ['one']),
          async () => {
            await driver.logLines(id, ['two']);
            await driver.completeTask(id);
          },
        );
        return { args: [id, ...OUTAGE], env: {}, meanwhile };
      },
      async judge(outcome) {
        const problem = judgeWatch('completed\n', outcome);
        if (problem !== undefined || outcome.exitCode !== 0) return problem;
        const log = outcome.stderr.split('\n').filter((line) => line === 'one' || line === 'two');
        return log.join() === 'one,two' ? undefined : `the log was ${log.join()}`;
      },
    },
    {
      ...CHECK,
      name: 'check: a training that fails',
      exitCode: 3,
      async prepare({ driver }) {
        const id = await runTask(driver);
        const meanwhile = actAtLooks(async () => {
          await driver.logLines(id, ['Traceback (most recent call last):', 'ValueError: no data']);
          await driver.failTask(id);
        });
        return { args: [id, ...OUTAGE], env: {}, meanwhile };
      },
      judge: async (outcome) => judgeWatch('failed\n', outcome),
    },
    {
      ...CHECK,
      name: 'check: a training that takes too long is ended',
      exitCode: 124,
      // The time-out of 20 s, the two minutes that ending it may take, and an outage's two minutes before and after.
      limitMs: 390_000,
      async prepare({ driver }) {
        const id = await runTask(driver, {
          runtime: { ci_launch: 'token', ci_run: RUN_ID, ci_pull_request: '7' },
          tags: ['ci', 'pr:7'],
        });
        return { args: [id, ...OUTAGE, '--timeout', '20s'], env: { GITHUB_RUN_ID: RUN_ID, PR_NUMBER: '7' } };
      },
      async judge({ driver, exitCode, stderr }) {
        const status = (await driver.listTasks())[0]?.status;
        if (exitCode !== 124 && exitCode !== 9) return `exit code ${exitCode}`;
        if (status === 'stopped') return undefined;
        const isSaid = /not confirmed: task|go on unwatched/.test(stderr);
        return isSaid ? undefined : `the task is ${status}, and nothing said`;
      },
    },
    {
      ...CHECK,
      name: 'check: one look at what is due, where one has ended and one waits for too long',
      // An outage's two minutes, and the two that ending may take.
      limitMs: 390_000,
      async prepare(stage) {
        const ended = await runTask(stage.driver, { runtime: await noteDetached(stage, COMMIT) });
        await stage.driver.completeTask(ended);
        const waiting = await enqueueTask(stage.driver, {
          runtime: await noteDetached(stage, OLDER_COMMIT, { queueTimeoutMs: 1 }),
        });
        // As the last tick left it.
        const queuedAtMs = Date.parse((await stage.driver.getTask(waiting)).status_changed);
        const waited = { atMs: queuedAtMs, isOpen: true, waitMs: 5, queuedAtMs };
        const set = { ci_waited: JSON.stringify(waited) };
        await stage.driver.call('tasks.edit_runtime', { task: waiting, add_or_update: set });
        return { args: ['--due', '--outage-timeout', '2m'], env: TICK };
      },
      // Whatever went wrong, the next tick finds both over, and the one that waited is in no queue any more. Where ClearML took
      // no note, nobody knows why it was ended.
      async judge(outcome) {
        if (outcome.exitCode !== 0 && outcome.exitCode !== 9) return `exit code ${outcome.exitCode}`;
        const runs = [outcome, await tickAgain(check, outcome, ['--due'])];
        const told = runs.map(({ exitCode, stdout }) =>
          exitCode === 0
            ? (JSON.parse(stdout) as Array<{ state: string }>)
                .map(({ state }) => state)
                .sort()
                .join()
            : 'failed',
        );
        const { queued } = await readTasks(outcome);
        const isRight =
          /^ended,(?:ended|timeout)$/.test(told[1] ?? '') &&
          ['failed', 'ended,timeout'].includes(told[0] ?? '');
        return isRight && queued.length === 0 ? undefined : `ticks told ${told.join(' and ')}`;
      },
    },
  ];
}

function createCommentScenarios(comment: Main, repository: ScratchRepository): readonly Scenario[] {
  const COMMENT = { program: 'create-stats-comment', main: comment, exitCode: 0, limitMs: 60_000 } as const;
  const base = repository.commit('Train', { 'train.py': 'a' });
  repository.git('checkout', '--quiet', '-b', 'feature');
  const head = repository.commit('Train otherwise', { 'train.py': 'b' });
  const trees = Object.fromEntries(
    [base, head].map((commit) => [commit, repository.git('rev-parse', `${commit}^{tree}`)]),
  );
  const history = rememberHistory(openGitHistory(repository.directory, 'main'));

  return [
    {
      ...COMMENT,
      name: 'comment: a new one',
      prepare: async ({ driver }) => ({
        args: [await trainTask(driver, [0.5, 0.75]), '--pr', '7'],
        env: {},
      }),
      judge: async (outcome) => judgeComment('0.75', outcome),
    },
    {
      ...COMMENT,
      name: 'comment: with a commit status',
      github: {
        pulls: [{ number: 7, headRef: 'feature', headSha: COMMIT, baseRef: 'main' }],
        permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
      },
      async prepare({ driver }) {
        const script = { repository: CLONE_URL, branch: 'feature', version_num: COMMIT };
        const id = await trainTask(driver, [0.5, 0.75], { script });
        return { args: [id, '--pr', '7', '--status', 'ClearML'], env: {} };
      },
      async judge(outcome) {
        const statuses = outcome.sandbox.github.statuses(COMMIT);
        if (statuses.length > 1) return `${statuses.length} statuses`;
        if (outcome.exitCode === 0 && statuses[0]?.state !== 'success') return 'no status';
        return judgeComment('0.75', outcome);
      },
    },
    {
      ...COMMENT,
      name: 'comment: what is due is reported, and due no more',
      github: {
        pulls: [{ number: 7, headRef: 'feature', headSha: head, baseRef: 'main' }],
        history,
        permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
      },
      async prepare(stage) {
        const project = (await stage.driver.call('projects.create', { name: 'digits', description: '' })).id;
        const script = { repository: CLONE_URL, branch: 'feature', version_num: head };
        const runtime = await noteDetached(stage, head, { settings: '.github/clearml-ci.yml' });
        const id = await trainTask(stage.driver, [0.5, 0.75], { name: 'train', project, script, runtime });
        const due = [{ pullRequest: 7, commit: head, taskIds: [id], state: 'ended' }];
        return { args: ['--due', JSON.stringify(due), '--status', 'ClearML'], env: TICK };
      },
      // Whatever went wrong, the next tick mends it: one comment, one status, and nothing is due.
      async judge(outcome) {
        if (outcome.exitCode !== 0 && outcome.exitCode !== 9) return `exit code ${outcome.exitCode}`;
        const [task] = await outcome.driver.listTasks();
        const open = () =>
          readTasks(outcome).then(({ all }) => all.flatMap((of) => listOpenDues(of as never)));
        if (outcome.exitCode === 0 && (await open()).length > 0) return 'it is due, and nothing said';
        const due = [{ pullRequest: 7, commit: head, taskIds: [task?.id], state: 'ended' }];
        const args = ['--due', JSON.stringify(due), '--status', 'ClearML'];
        const again = outcome.exitCode === 0 ? outcome : await tickAgain(comment, outcome, args);
        if (again.exitCode !== 0) return `the next tick ended with ${again.exitCode}: ${again.stderr}`;
        if ((await open()).length > 0) return 'it is due after the next tick';
        const states = outcome.sandbox.github.statuses(head).map(({ state }) => state);
        if (states.join() !== 'success') return `the statuses are ${states.join()}`;
        const comments = outcome.sandbox.github.comments(7);
        return comments.length === 1 && comments[0]?.body.includes('0.75')
          ? undefined
          : `${comments.length} comments: ${comments[0]?.body}`;
      },
    },
    {
      ...COMMENT,
      name: 'comment: the one that is there is updated',
      async prepare(stage) {
        const before = await stage.run(comment, [await trainTask(stage.driver, [0.25]), '--pr', '7'], {});
        if (before.exitCode !== 0) throw new Error(before.stderr);
        return { args: [await trainTask(stage.driver, [0.5, 0.75]), '--pr', '7'], env: {} };
      },
      judge: async (outcome) => judgeComment('0.75', outcome),
    },
    {
      ...COMMENT,
      name: 'comment: another verdict replaces the one that is there',
      async prepare({ driver, folder, run }) {
        const settings = ['--config', join(folder, 'settings.yml')];
        await writeFile(join(folder, 'settings.yml'), 'comment: recreate\n');
        const failed = await runTask(driver);
        await driver.failTask(failed);
        const before = await run(comment, [failed, '--pr', '7', ...settings], {});
        if (before.exitCode !== 0) throw new Error(before.stderr);
        return { args: [await trainTask(driver, [0.5, 0.75]), '--pr', '7', ...settings], env: {} };
      },
      judge: async (outcome) => judgeRecreated('0.75', outcome),
    },
    {
      ...COMMENT,
      name: 'comment: a gate that finds the model worse than the base branch’s',
      exitCode: 5,
      github: {
        history,
        pulls: [{ number: 7, headRef: 'feature', headSha: head, baseRef: 'main' }],
      },
      async prepare({ driver, folder }) {
        const settings = join(folder, 'settings.yml');
        await writeFile(
          settings,
          'metrics: [{ metric: test_accuracy/accuracy, goal: maximize, tolerance: 0.02, gate: fail }]\n',
        );
        const project = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
        const pipeline = await hashText('digits');
        const describe = (commit: string, branch: string, event: string) => ({
          name: 'train',
          project,
          script: { repository: CLONE_URL, branch, version_num: commit },
          runtime: {
            ci_key: commit,
            ci_pipeline: pipeline,
            ci_code: trees[commit],
            ci_event: event,
            ci_run: RUN_ID,
          },
        });
        await trainTask(driver, [0.9], describe(base, 'main', 'push'));
        const id = await trainTask(driver, [0.7], describe(head, 'feature', 'pull_request'));
        return { args: [id, '--pr', '7', '--config', settings], env: {} };
      },
      // Without the base branch's commits the gate can't say: that is no pass.
      judge: async (outcome) =>
        outcome.exitCode === 6 && outcome.sandbox.github.comments(7).length === 1
          ? undefined
          : judgeComment('Regression', outcome),
    },
    {
      ...COMMENT,
      name: 'comment: a push takes the production tag over',
      github: { history },
      async prepare({ driver, folder }) {
        const settings = join(folder, 'settings.yml');
        const event = join(folder, 'event.json');
        await writeFile(
          settings,
          'promote: { tag: production }\nmetrics: [{ metric: test_accuracy/accuracy, goal: maximize, tolerance: 0.02, gate: fail }]\n',
        );
        await writeFile(event, JSON.stringify({ before: base, repository: { clone_url: CLONE_URL } }));
        const pipeline = await hashText('digits');
        const train = async (commit: string, tags: readonly string[]) => {
          const { id: model } = await driver.call('models.create', { name: 'model', uri: 'file:///m', tags });
          return trainTask(driver, [0.9], {
            name: 'train',
            tags,
            script: { repository: CLONE_URL, branch: 'feature', version_num: commit },
            models: { output: [{ name: 'model', model }], input: [] },
            runtime: {
              ci_key: commit,
              ci_pipeline: pipeline,
              ci_code: trees[commit],
              ci_event: 'push',
            },
          });
        };
        await train(base, ['production']);
        const push = { GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/heads/feature', GITHUB_SHA: head };
        return {
          args: [await train(head, []), '--promote', '--config', settings],
          env: { ...push, GITHUB_EVENT_PATH: event },
        };
      },
      judge: judgePromotion,
    },
  ];
}

/** There is always a production model: the new one, or where a service failed the old one, or both until the next run. */
async function judgePromotion({ driver, exitCode, stderr }: Outcome): Promise<string | undefined> {
  const { models } = await driver.call('models.get_all', { tags: ['production'] });
  const tasks = (await driver.listTasks()).filter(({ tags }) => tags.includes('production'));
  const isMoved =
    tasks.length === 1 && models.length === 1 && tasks[0]?.models.output[0]?.model === models[0]?.id;
  if (models.length < 1 || models.length > 2 || tasks.length < 1 || tasks.length > 2)
    return `${tasks.length} tasks and ${models.length} models carry the tag`;
  if (exitCode === 9) return undefined;
  if (exitCode !== 0) return `exit code ${exitCode}`;
  if (stderr.includes('Not promoted')) return models.length === 1 ? undefined : 'it left two';
  return isMoved && stderr.includes('Promoted.') ? undefined : 'nothing moved, and nothing was said';
}

function judgeWatch(printed: string, { exitCode, stdout, scenario }: Outcome): string | undefined {
  if (exitCode === scenario.exitCode) return stdout === printed ? undefined : `it printed ${stdout}`;
  return exitCode === 9 ? undefined : `exit code ${exitCode}`;
}
