import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startClearmlSandbox } from '../../sandbox/clearml-server.ts';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from '../clearml-driver.ts';
import { runCommand } from '../command-run.ts';

/** A param as a launch sends it: `Section/name`, the text, and the type where one was named. */
export type SentParam = readonly [name: string, value: string, type?: string];

/** What to run, and what the launch gives it. */
export interface TrainingRun {
  /** Interpreter of an environment that holds the framework. */
  readonly python: string;
  /** Folder whose files the training consists of. */
  readonly folder: URL;
  /** Arguments of the interpreter, the script's name among them. */
  readonly command: readonly string[];
  readonly params?: readonly SentParam[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The task's `hyperparams`, as `tasks.get_by_id` gives them. */
export type HyperParams = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** What came of a training that ran as an agent runs it. */
export interface TrainingRecord {
  readonly exitCode: number | null;
  /** What it says that it trained with; absent where it never came to it. */
  readonly trainedWith?: unknown;
  /** At the end. */
  readonly hyperparams: HyperParams;
  /** While it ran, by stage; only where they were not yet those of the end. */
  readonly earlier: Readonly<Record<string, HyperParams>>;
  /** The last lines of the console, without what says nothing or differs from machine to machine. */
  readonly console: readonly string[];
  readonly task: TaskDocument;
}

/** What several trainings import. */
const SHARED = new URL('shared/', import.meta.url);

const LAST_LINES = 12;

/**
 * Runs a training with the real SDK for a task of the sandbox, with the variables and the status changes that
 * clearml-agent 3.0.3 gives it: `Worker._get_job_os_envs` names them.
 */
export async function recordTraining(
  run: TrainingRun,
  look: (driver: ClearmlDriver, id: string) => Promise<unknown> = async () => undefined,
): Promise<TrainingRecord> {
  const home = mkdtempSync(join(tmpdir(), 'clearml-ci-training-'));
  const sandbox = await startClearmlSandbox();
  const driver = createClearmlDriver(sandbox.env);
  const { id: project } = await driver.call('projects.create', { name: 'digits', description: '' });
  const id = await driver.createTask({ name: 'train', project, hyperparams: groupParams(run.params ?? []) });
  const stages = await serveStages(async () =>
    cleanParams((await driver.getTask(id)).hyperparams ?? {}, home),
  );
  try {
    for (const folder of [run.folder, SHARED])
      cpSync(fileURLToPath(folder), join(home, 'code'), { recursive: true });
    await driver.startTask(id);
    const ended = await runCommand(run.python, run.command, {
      cwd: join(home, 'code'),
      env: { ...agentEnvironment(id, home), ...sandbox.env, RECORDER_URL: stages.url, ...run.env },
    });
    if (ended === undefined) throw new Error(`${run.python} cannot be started`);
    if (ended.exitCode === 0) await driver.completeTask(id);
    else await driver.failTask(id, `worker execution exit code ${ended.exitCode}`);
    await look(driver, id);
    const task = await driver.getTask(id);
    const hyperparams = cleanParams(task.hyperparams ?? {}, home);
    return {
      exitCode: ended.exitCode,
      ...readTrainedWith(ended.output),
      hyperparams,
      earlier: listDifferent(stages.seen, hyperparams),
      console: cleanConsole(ended.output, [[home, '/home/agent']]),
      task,
    };
  } finally {
    stages.close();
    await sandbox.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** As a launch groups them. */
export function groupParams(params: readonly SentParam[]): HyperParams {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const [full, value, type] of params) {
    const slash = full.indexOf('/');
    const [section, name] = [full.slice(0, slash), full.slice(slash + 1)];
    sections[section] ??= {};
    sections[section][name] = { section, name, value, ...(type === undefined ? {} : { type }) };
  }
  return sections;
}

function agentEnvironment(id: string, home: string): Record<string, string | undefined> {
  return {
    PATH: process.env.PATH,
    HOME: home,
    TMPDIR: home,
    NO_PROXY: '127.0.0.1',
    CLEARML_TASK_ID: id,
    TRAINS_TASK_ID: id,
    CLEARML_LOG_LEVEL: 'INFO',
    CLEARML_LOG_TASK_TO_BACKEND: '0',
    PYTHONPATH: join(home, 'code'),
    PYTHONUNBUFFERED: '1',
    // Frameworks ask for nothing from the internet, and count on one core.
    HF_HUB_OFFLINE: '1',
    YOLO_OFFLINE: 'true',
    // Else each run makes its list of fonts anew.
    MPLCONFIGDIR: fileURLToPath(new URL('../../../.cache/matplotlib', import.meta.url)),
    OMP_NUM_THREADS: '1',
    CUDA_VISIBLE_DEVICES: '',
    OPENBLAS_CORETYPE: process.env.OPENBLAS_CORETYPE,
    OPENBLAS_L2_SIZE: process.env.OPENBLAS_L2_SIZE,
  };
}

interface Stages {
  readonly url: string;
  readonly seen: ReadonlyMap<string, HyperParams>;
  close(): void;
}

/** The training asks for `/STAGE` and waits: so long the task stays as it is. */
async function serveStages(readParams: () => Promise<HyperParams>): Promise<Stages> {
  const seen = new Map<string, HyperParams>();
  const server = createServer((request, response) => {
    void readParams().then((params) => {
      seen.set((request.url ?? '/').slice(1), params);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () => void server.close(),
  };
}

/** Without the folder of this run, and the IDs of its tasks. */
function cleanParams(params: HyperParams, home: string): HyperParams {
  const text = JSON.stringify(params).replaceAll(home, '/home/agent');
  return JSON.parse(text.replaceAll(/"[0-9a-f]{32}"/g, `"${'0'.repeat(32)}"`));
}

function listDifferent(seen: ReadonlyMap<string, HyperParams>, end: HyperParams) {
  const different = [...seen].filter(([, params]) => JSON.stringify(params) !== JSON.stringify(end));
  return Object.fromEntries(different);
}

/** What a training says that it trained with, from its console. A thread of the SDK may write into the same line. */
export function readTrainedWith(output: string): { trainedWith?: unknown } {
  const [, values] = /TRAINED WITH (\{.*\})/.exec(output) ?? [];
  return values === undefined ? {} : { trainedWith: JSON.parse(values) };
}

/** What differs from run to run, or says nothing about the training. */
const NOISE =
  /^(?:initialised|connected|TRAINED WITH) |ClearML results page|ClearML new version|^\s*$|UserWarning|it\/s\]|GPU|^Matplotlib is building|^Ultralytics \d/;

/** The last lines, with the folders of this machine by other names. */
function cleanConsole(output: string, folders: ReadonlyArray<readonly [string, string]>): readonly string[] {
  const lines = output.split('\n').filter((line) => !NOISE.test(line));
  return lines.slice(-LAST_LINES).map((line) => {
    const named = folders.reduce((text, [from, to]) => text.replaceAll(from, to), line);
    return named
      .replaceAll(/[^\s"']*\/python-[0-9a-f]{12}(?:-[0-9a-f]{8})?\//g, '/opt/python/')
      .replaceAll(homedir(), '/home/user')
      .replaceAll(/\b[0-9a-f]{32}\b/g, '0'.repeat(32))
      .replaceAll(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?/g, '2026-01-01 00:00:00')
      .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, 'http://clearml.example')
      .replaceAll(/, line \d+/g, ', line 1');
  });
}
