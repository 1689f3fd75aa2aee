import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatMarker } from '../../github/comments.ts';
import type { EarlierComment } from '../../sandbox/github-comments.ts';
import type { SandboxRequest } from '../../sandbox/github-server.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { ClearmlDriver } from '../clearml-driver.ts';
import { startFaultProxy } from '../fault-proxy.ts';
import { answerLargeTask } from '../large-task.ts';
import type { MeasuredProcess } from '../measurement/measured-process.ts';
import type { ProgramName } from '../program-run.ts';
import { createScratchRepository } from '../scratch-repository.ts';

/** The servers that a load is put on, with one open pull request. */
export interface Stage {
  readonly sandbox: Sandbox;
  readonly driver: ClearmlDriver;
  /** An empty folder. */
  readonly directory: string;
  /** What the programs have asked in this turn: `tasks.get_all`, `PATCH /repos/…`. */
  readonly heard: string[];
  /** What is to be closed in the end. */
  readonly cleanups: Array<() => unknown>;
}

/** A process of the program. */
export interface ProcessStart {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** One measured turn. */
export interface Turn {
  /** All start at the same time. */
  readonly starts: readonly ProcessStart[];
  /** What happens while they run; the signal says that they have ended. */
  readonly meanwhile?: (signal: AbortSignal) => Promise<void>;
  /** What came of it, in a few words, once all have ended with exit code 0. @throws Error where it is wrong */
  readonly verify: (runs: readonly MeasuredProcess[]) => Promise<string> | string;
}

/** What is there for a program to look at. */
export interface PreparedLoad {
  /** How large it is, where that matters. */
  readonly bytes?: number;
  /** Each turn finds the same. */
  readonly begin: () => Promise<Turn> | Turn;
}

/** Something of which there may be much. */
export interface Load {
  readonly program: ProgramName;
  /** What a curve of it is called. */
  readonly title: string;
  readonly unit: string;
  /** In rising order; a single one makes no curve. */
  readonly sizes: readonly number[];
  /** How the table names it. */
  readonly describe: (size: string, bytes: string) => string;
  /** What the pull request holds from the start. */
  readonly comments?: (size: number) => readonly EarlierComment[];
  readonly prepare: (stage: Stage, size: number) => Promise<PreparedLoad>;
}

export const PULL = 7;
const ADA = 'ada';
const JOB_LOGIN = 'github-actions[bot]';
const COMMENT_KEY = 'load';
const REQUESTS_AT_ONCE = 20;
/** As the SDK sends a console: many lines a message, many messages a request. */
const LINES_A_MESSAGE = 100;
const MESSAGES_A_REQUEST = 500;
const MS_A_MESSAGE = 1000;
const LINES_A_TASK = 10;
const LONG_LOGS = 12;
const LINES_A_MEGABYTE = 23_000;
/** As many as the wait asks for. */
const TASKS_A_REQUEST = 500;

export const LOADS: readonly Load[] = [
  {
    program: 'check-task-running',
    title: 'A wait',
    unit: 'tasks',
    sizes: [1, 10, 100, 1000],
    describe: (size) => `${size} running tasks watched, each with a log of ${LINES_A_TASK} lines`,
    prepare: prepareTasks,
  },
  {
    program: 'check-task-running',
    title: 'A wait',
    unit: 'lines of the log',
    sizes: [1000, 10_000, 100_000, 1_000_000],
    describe: (size, bytes) => `${size} log lines (${bytes})`,
    prepare: prepareLog,
  },
  {
    program: 'check-task-running',
    title: 'A wait',
    unit: 'megabytes a log',
    sizes: [20],
    describe: (size) => `${LONG_LOGS} running tasks watched in Actions, each with a log of ${size} MB`,
    prepare: prepareLongLogs,
  },
  {
    program: 'create-stats-comment',
    title: 'A report',
    unit: 'metrics',
    sizes: [10, 100, 1000, 10_000],
    describe: (size, bytes) => `${size} metric variants (${bytes})`,
    prepare: prepareMetrics,
  },
  {
    program: 'create-stats-comment',
    title: 'A report',
    unit: 'points of a curve',
    sizes: [10, 100, 1000, 10_000],
    describe: (size) => `a curve of ${size} points`,
    prepare: prepareCurve,
  },
  {
    program: 'create-stats-comment',
    title: 'A report',
    unit: 'comments',
    sizes: [3000],
    describe: (size, bytes) => `${size} comments on the pull request (${bytes}), ours the last`,
    comments: (size) => [...writeComments(size), writeOwnComment()],
    prepare: prepareComments,
  },
  {
    program: 'launch-training-task',
    title: 'A launch',
    unit: 'launches at once',
    sizes: [20],
    describe: (size) => `${size} launches at once for one pull request`,
    prepare: prepareLaunches,
  },
];

/** What the sandbox hears of a request, in the words of `Stage.heard`. */
export function nameGithubRequest({ method, path }: Pick<SandboxRequest, 'method' | 'path'>): string {
  return `${method} ${path}`;
}

async function prepareTasks(stage: Stage, size: number): Promise<PreparedLoad> {
  const { sandbox, driver } = stage;
  const lines = Array.from({ length: LINES_A_TASK }, (_, index) => `epoch ${index}`);
  return {
    async begin() {
      const ids = await doAtOnce(size, async () => {
        const id = await startTask(driver);
        await driver.logLines(id, lines);
        return id;
      });
      return {
        starts: [{ args: [ids.join(' ')], env: sandbox.clearml.env }],
        meanwhile: (signal) => endInTwoLooks(ids, stage, signal),
        verify([run]) {
          const completed = count(run?.stdout.split('\n') ?? [], 'completed');
          const shown = run?.stderr.match(/^(?:\[\w+\] )?epoch \d$/gm)?.length;
          hold(completed === size, `${completed} of ${size} tasks are said to be completed`);
          hold(shown === size * LINES_A_TASK, `${shown} lines of ${size} logs are shown`);
          return `\`completed\` ${format(completed)} times; every line shown`;
        },
      };
    },
  };
}

/** All run when they are looked at first; half of them end then, the others after the next look. */
async function endInTwoLooks(
  ids: readonly string[],
  { driver, heard }: Stage,
  signal: AbortSignal,
): Promise<void> {
  const half = Math.ceil(ids.length / 2);
  const requestsALook = Math.ceil(ids.length / TASKS_A_REQUEST);
  for (const [looks, chosen] of [ids.slice(0, half), ids.slice(half)].entries()) {
    while (count(heard, 'tasks.get_all') < (looks + 1) * requestsALook) await sleep(5, undefined, { signal });
    await doAtOnce(chosen.length, (index) => driver.completeTask(chosen[index] ?? ''));
  }
}

async function prepareLog({ sandbox, driver }: Stage, size: number): Promise<PreparedLoad> {
  const id = await startTask(driver);
  const bytes = await writeLog(driver, id, size);
  await driver.completeTask(id);
  return {
    bytes,
    begin: () => ({
      starts: [{ args: [id], env: sandbox.clearml.env }],
      verify([run]) {
        const { shown, left } = readShownLog(run?.stderr ?? '', id);
        hold(run?.stdout === 'completed\n', `the wait said ${run?.stdout}`);
        hold(shown + left === size, `${shown} lines are shown, ${left} said to be left out`);
        return `\`completed\`; ${format(shown)} lines shown, first and last included, ${format(left)} said to be left out`;
      },
    }),
  };
}

/** As a workflow's job sees them: the log of each of several tasks is a group of its own. */
async function prepareLongLogs(stage: Stage, megabytes: number): Promise<PreparedLoad> {
  const { sandbox, driver } = stage;
  const lines = megabytes * LINES_A_MEGABYTE;
  const ids = await doAtOnce(LONG_LOGS, () => startTask(driver));
  for (const id of ids) await writeLog(driver, id, lines);
  return {
    async begin() {
      for (const id of ids) await driver.call('tasks.started', { task: id, force: true });
      return {
        starts: [{ args: [ids.join(' ')], env: { ...sandbox.clearml.env, GITHUB_ACTIONS: 'true' } }],
        meanwhile: (signal) => endInTwoLooks(ids, stage, signal),
        verify([run]) {
          const completed = count(run?.stdout.split('\n') ?? [], 'completed');
          hold(completed === LONG_LOGS, `${completed} of ${LONG_LOGS} tasks are said to be completed`);
          const logs = ids.map((id) => readShownLog(run?.stderr ?? '', id, `\\[${id.slice(0, 8)}\\] `));
          const shown = logs.reduce((sum, log) => sum + log.shown, 0);
          const left = logs.reduce((sum, log) => sum + log.left, 0);
          hold(shown + left === LONG_LOGS * lines, `${shown} lines are shown, ${left} said to be left out`);
          return `\`completed\` ${LONG_LOGS} times; ${format(shown)} lines shown, first and last of each included, ${format(left)} said to be left out`;
        },
      };
    },
  };
}

/** @returns its size in bytes */
async function writeLog(driver: ClearmlDriver, id: string, lines: number): Promise<number> {
  const messages = Array.from({ length: lines / LINES_A_MESSAGE }, (_, message) =>
    Array.from(
      { length: LINES_A_MESSAGE },
      (__, line) => `step ${message * LINES_A_MESSAGE + line} loss 0.123456 accuracy 0.987654`,
    ).join('\n'),
  );
  // Over hours, as a training prints them: the newest ten seconds are read again with each look.
  const beganAtMs = Date.now() - messages.length * MS_A_MESSAGE;
  for (let first = 0; first < messages.length; first += MESSAGES_A_REQUEST) {
    const batch = messages.slice(first, first + MESSAGES_A_REQUEST);
    await driver.logLines(id, batch, beganAtMs + first * MS_A_MESSAGE);
  }
  return messages.reduce((sum, message) => sum + message.length + 1, 0);
}

/** How many lines of a task's log are shown, and how many are said to be left out. @throws Error where one is missing */
function readShownLog(
  talk: string,
  id: string,
  label = '',
): { readonly shown: number; readonly left: number } {
  const steps = [...talk.matchAll(new RegExp(`^${label}step (\\d+) loss`, 'gm'))].map(([, step]) =>
    Number(step),
  );
  const rest = new RegExp(`^(\\d+) lines \\(\\d+ bytes\\) of the log are left out here; \\S*${id}`, 'm');
  const left = Number(rest.exec(talk)?.[1] ?? 0);
  hold(steps[0] === 0 && steps.at(-1) === steps.length + left - 1, 'first and last line are not both shown');
  return { shown: steps.length, left };
}

/** A new comment each turn: each has a key of its own. */
async function prepareMetrics(
  { sandbox, driver, directory, heard, cleanups }: Stage,
  size: number,
): Promise<PreparedLoad> {
  const id = await startTask(driver);
  await driver.completeTask(id);
  // More than a server keeps by default, the sandbox included.
  const body = answerLargeTask(await driver.getTask(id), size);
  const proxy = await startFaultProxy(sandbox.clearml.apiHost, ({ path }) => {
    if (!path.endsWith('tasks.get_all')) return undefined;
    heard.push('tasks.get_all');
    return { kind: 'answer', status: 200, headers: { 'content-type': 'application/json' }, body };
  });
  cleanups.push(() => proxy.close());
  return {
    bytes: body.length,
    begin: () => ({
      starts: [
        {
          args: [id, '--comment-key', makeKey()],
          env: {
            ...sandbox.env,
            PR_NUMBER: String(PULL),
            CLEARML_API_HOST: proxy.url,
            GITHUB_STEP_SUMMARY: join(directory, `${makeKey()}.md`),
          },
        },
      ],
      verify() {
        const text = sandbox.github.comments(PULL).at(-1)?.body ?? '';
        // Each has a value of its own. A row of a family shows one, which may stand in a row of its own too.
        const shown = new Set(text.match(/\*\*[\d.]+\*\*(?= \|$)/gm)).size;
        const left = Number(/Left out here: (\d+) metrics/.exec(text)?.[1] ?? 0);
        hold(shown + left === size, `${shown} metrics are shown, ${left} said to be left out`);
        return `one comment of ${formatBytes(Buffer.byteLength(text))}; ${shown} metrics shown, ${format(left)} said to be left out`;
      },
    }),
  };
}

async function prepareCurve({ sandbox, driver }: Stage, size: number): Promise<PreparedLoad> {
  const id = await startTask(driver);
  const values = Array.from({ length: size }, (_, index) => 1 / (index + 1));
  await driver.reportScalars(id, 'loss', 'train', values);
  await driver.completeTask(id);
  return {
    begin: () => ({
      starts: [{ args: [id, '--comment-key', makeKey()], env: { ...sandbox.env, PR_NUMBER: String(PULL) } }],
      verify() {
        const text = sandbox.github.comments(PULL).at(-1)?.body ?? '';
        const points = /^ {2}line (?:"[^"]*" )?\[(.*)\]$/m.exec(text)?.[1]?.split(', ').map(Number) ?? [];
        const last = 1 / size;
        hold(text.includes(`0 --> ${size - 1}\n`), 'the curve does not reach to its last iteration');
        hold(points[0] === 1 && Math.abs((points.at(-1) ?? 0) / last - 1) < 1e-3, 'the curve lost its ends');
        return `one comment; a chart of ${points.length} of them, first and last included`;
      },
    }),
  };
}

async function prepareComments({ sandbox, driver, heard }: Stage, size: number): Promise<PreparedLoad> {
  const id = await startTask(driver);
  await driver.reportScalars(id, 'loss', 'train', [0.9, 0.5, 0.3]);
  await driver.completeTask(id);
  const readOwn = () => sandbox.github.comments(PULL).filter(({ author }) => author === JOB_LOGIN);
  return {
    bytes: sandbox.github.comments(PULL).reduce((sum, { body }) => sum + Buffer.byteLength(body), 0),
    begin: () => ({
      starts: [
        { args: [id, '--comment-key', COMMENT_KEY], env: { ...sandbox.env, PR_NUMBER: String(PULL) } },
      ],
      verify() {
        const [own, ...more] = readOwn();
        const changes = heard.filter((request) => /^(?:POST|PATCH|DELETE) /.test(request));
        hold(
          sandbox.github.comments(PULL).length === size + 1 && more.length === 0,
          'there are more comments',
        );
        hold(own?.body.includes('`loss/train`') === true, 'our comment is not the report');
        hold(
          changes.length === 1 && changes[0]?.startsWith('PATCH ') === true,
          `changed by ${changes.join(', ')}`,
        );
        return 'found and updated, still the only one of ours';
      },
    }),
  };
}

/** Each from a run of its own, in a checkout of the pull request. */
async function prepareLaunches(
  { sandbox, driver, directory, cleanups }: Stage,
  size: number,
): Promise<PreparedLoad> {
  const { github } = sandbox;
  const repository = createScratchRepository();
  cleanups.push(() => repository.remove());
  repository.git('remote', 'add', 'origin', `https://github.com/${github.repository}.git`);
  const commit = repository.commit('A training', { 'train_model.py': 'print("train")\n' });
  github.setPullHead(PULL, commit);
  const eventFile = join(directory, 'event.json');
  writeFileSync(eventFile, JSON.stringify(await github.pullRequestEvent(PULL, 'synchronize')));
  return {
    async begin() {
      for (const { id } of await driver.listTasks())
        await driver.call('tasks.delete', { task: id, force: true });
      const env = {
        ...sandbox.env,
        GITHUB_ACTIONS: 'true',
        GITHUB_EVENT_NAME: 'pull_request',
        GITHUB_EVENT_PATH: eventFile,
      };
      return {
        starts: Array.from({ length: size }, (_, index) => ({
          args: [],
          env: { ...env, GITHUB_RUN_ID: String(1000 + index), GITHUB_RUN_ATTEMPT: '1' },
          cwd: repository.directory,
        })),
        async verify(runs) {
          const tasks = await driver.listTasks();
          const [task] = tasks;
          hold(tasks.length === 1 && task?.status === 'queued', `${tasks.length} tasks are left`);
          hold(task?.script.version_num === commit, 'the task is of another commit');
          hold(
            runs.every(({ stdout }) => stdout === `${task?.id}\n`),
            `they said ${runs.map(({ stdout }) => stdout.trim()).join(', ')}`,
          );
          return `one task in the queue, its id printed ${runs.length} times`;
        },
      };
    },
  };
}

function writeComments(size: number): EarlierComment[] {
  const text = 'Looks good to me, but for one thing. '.repeat(27);
  return Array.from({ length: size }, (_, index) => ({
    pull: PULL,
    author: ADA,
    // The first one is a trap.
    body: index === 0 ? `${formatMarker(COMMENT_KEY)}\n${text}` : `${index}. ${text}`,
  }));
}

function writeOwnComment(): EarlierComment {
  return { pull: PULL, author: JOB_LOGIN, body: `${formatMarker(COMMENT_KEY)}\nof an earlier commit` };
}

function makeKey(): string {
  return randomBytes(6).toString('hex');
}

async function startTask(driver: ClearmlDriver): Promise<string> {
  const id = await driver.createTask();
  await driver.call('tasks.started', { task: id, force: true });
  return id;
}

async function doAtOnce<T>(times: number, action: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let first = 0; first < times; first += REQUESTS_AT_ONCE) {
    const length = Math.min(REQUESTS_AT_ONCE, times - first);
    results.push(...(await Promise.all(Array.from({ length }, (_, index) => action(first + index)))));
  }
  return results;
}

function count(values: readonly string[], wanted: string): number {
  return values.filter((value) => value === wanted).length;
}

function hold(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}

/** `1,000,000` */
export function format(value: number): string {
  return value.toLocaleString('en');
}

/** `16 MB`, `15 kB` */
export function formatBytes(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1000).toFixed(0)} kB`;
}
