import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { truthy } from '@actions/expressions/result';
import {
  convertWorkflowTemplate,
  isBasicExpression,
  isMapping,
  isSequence,
  NoOperationTraceWriter,
  parseWorkflow,
} from '@actions/workflow-parser';
import type { Step, WorkflowTemplate } from '@actions/workflow-parser/model/workflow-template';
import type { MappingToken, TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { makeInputEnv, readJavascriptAction } from './javascript-action.ts';
import { type Annotation, parseAnnotations, parseRunnerFile } from './runner-file.ts';
import {
  type Contexts,
  evaluateCondition,
  evaluateExpression,
  evaluateMapping,
  evaluateText,
  iterate,
  type JobStatus,
} from './workflow-expression.ts';

/** A stand-in for an action, such as `actions/checkout`. It returns the step's outputs. */
export type ActionDouble = (call: {
  readonly inputs: Readonly<Record<string, string>>;
  readonly workspace: string;
}) => Promise<Readonly<Record<string, string>>> | Readonly<Record<string, string>>;

export interface WorkflowRunOptions {
  /** The workflow's YAML. */
  readonly workflow: string;
  readonly job: string;
  /** The `github` context; its `event` becomes the file GITHUB_EVENT_PATH, and the usual GITHUB_ variables come of it. */
  readonly github: Readonly<Record<string, unknown>>;
  /** Of a run that was started by hand. */
  readonly inputs?: Readonly<Record<string, string | number>>;
  /** What the jobs before this one gave: `{ build: { result: 'success', outputs: { … } } }`. */
  readonly needs?: Readonly<Record<string, unknown>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly vars?: Readonly<Record<string, string>>;
  /** The machine's own variables: PATH and the like. Nothing of the surrounding process is added. */
  readonly machineEnv: Readonly<Record<string, string>>;
  /** Where `run:` lines run: GITHUB_WORKSPACE. */
  readonly workspace: string;
  /**
   * By the action's name without its version: what stands in for it, or the folder that holds it, a JavaScript action.
   * An action that is not listed fails the run's preparation.
   */
  readonly actions?: Readonly<Record<string, ActionDouble | string>>;
  /** Aborted when somebody cancels the run. */
  readonly cancel?: AbortSignal;
  /** Default: `CANCEL_TIMES`, the runner's own. */
  readonly cancelTimes?: CancelTimes;
  /** Called before each step that is run. */
  readonly onStep?: (name: string) => void;
}

export type StepConclusion = 'success' | 'failure' | 'cancelled' | 'skipped';

export interface StepRun {
  /** The `id:` where the YAML has one. */
  readonly id: string;
  readonly name: string;
  /** Before `continue-on-error`. */
  readonly outcome: StepConclusion;
  readonly conclusion: StepConclusion;
  /** Of a `run:` and of a JavaScript action; `null` where a signal ended it or nothing ran. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly outputs: Readonly<Record<string, string>>;
  /** What it wrote to GITHUB_STEP_SUMMARY. */
  readonly summary: string;
  readonly annotations: readonly Annotation[];
  readonly durationMs: number;
}

export interface WorkflowRun {
  /** As the check is called: a skipped job's name is not evaluated (github.com/actions/runner/issues/1215). */
  readonly name: string;
  readonly conclusion: 'success' | 'failure' | 'cancelled';
  readonly steps: readonly StepRun[];
  /** What a job that needs this one gets. */
  readonly outputs: Readonly<Record<string, string>>;
}

/**
 * A cancelled step's shell gets SIGINT, after 7.5 s SIGTERM, and 2.5 s later it is killed; its children get nothing
 * before that. Source: actions/runner, src/Runner.Sdk/ProcessInvoker.cs.
 */
export const CANCEL_TIMES: CancelTimes = { interruptMs: 7_500, terminateMs: 2_500 };

/** How long a step may go on after SIGINT, and then after SIGTERM. */
export interface CancelTimes {
  readonly interruptMs: number;
  readonly terminateMs: number;
  /** Default: the machine's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

const STEP_KEYS = [
  'id',
  'name',
  'if',
  'uses',
  'with',
  'run',
  'env',
  'shell',
  'working-directory',
  'continue-on-error',
];
const JOB_KEYS = [
  'name',
  'runs-on',
  'timeout-minutes',
  'permissions',
  'env',
  'steps',
  'concurrency',
  'if',
  'needs',
  'outputs',
];
const SHELLS: Readonly<Record<string, readonly string[]>> = {
  '': ['bash', '-e'],
  bash: ['bash', '--noprofile', '--norc', '-eo', 'pipefail'],
};

/** Parses a workflow by GitHub's own parser. Throws with all of its errors. */
export async function readWorkflow(
  yaml: string,
): Promise<{ template: WorkflowTemplate; root: MappingToken }> {
  const { context, value } = parseWorkflow(
    { name: 'workflow.yml', content: yaml },
    new NoOperationTraceWriter(),
  );
  const errors = context.errors.getErrors();
  if (errors.length > 0 || value === undefined || !isMapping(value)) {
    throw new Error(
      `The workflow is invalid: ${errors.map((error) => error.message).join('; ') || 'it is empty'}`,
    );
  }
  return { template: await convertWorkflowTemplate(context, value), root: value };
}

/**
 * Runs one job of a workflow on this machine, as GitHub's runner does: steps in order, `if:` conditions, `env:` of
 * workflow, job and step, the files GITHUB_OUTPUT, GITHUB_ENV, GITHUB_STATE and GITHUB_STEP_SUMMARY, outputs in the
 * `steps` context, cancelling, and at the end the `post` of each JavaScript action that was started, the last one first. What it does not know (a matrix, containers, a step's time-out, …) it refuses rather than ignores;
 * `timeout-minutes`, `runs-on`, `permissions` and `concurrency` of the job are GitHub's business and are not enforced.
 */
export async function runWorkflowJob(options: WorkflowRunOptions): Promise<WorkflowRun> {
  const { template, root } = await readWorkflow(options.workflow);
  const job = template.jobs.find((candidate) => candidate.id.value === options.job);
  if (job === undefined || job.type !== 'job') throw new Error(`The workflow has no job "${options.job}".`);
  const jobMapping = childMapping(childMapping(root, 'jobs'), options.job);
  refuseUnknownKeys(jobMapping, JOB_KEYS, `job "${options.job}"`);
  if (root.find('defaults') !== undefined) throw new Error('The runner does not know `defaults`.');
  const stepMappings = childSequence(jobMapping, 'steps');
  const jobName = job.name ?? job.id;

  const files = mkdtempSync(join(tmpdir(), 'clearml-ci-runner-'));
  const eventPath = join(files, 'event.json');
  writeFileSync(eventPath, JSON.stringify(options.github.event ?? {}));
  const runner: Record<string, string> = {
    ...options.machineEnv,
    CI: 'true',
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_PATH: eventPath,
    GITHUB_WORKSPACE: options.workspace,
    GITHUB_JOB: options.job,
    RUNNER_OS: 'Linux',
    RUNNER_TEMP: files,
    ...variablesOf(options.github),
  };
  const state = { hasFailed: false };
  const status = (): JobStatus => ({
    hasFailed: state.hasFailed,
    isCancelled: options.cancel?.aborted === true,
  });
  const stepsContext: Record<string, unknown> = {};
  const added: Record<string, string> = {};
  const base: Contexts = {
    github: { ...options.github, job: options.job, workspace: options.workspace, event_path: eventPath },
    secrets: options.secrets ?? {},
    vars: options.vars ?? {},
    runner: { os: 'Linux', temp: files },
    inputs: options.inputs ?? {},
    needs: options.needs ?? {},
    strategy: {},
    matrix: {},
  };
  // GitHub's parser has made sure that these use only contexts that are there so early.
  const workflowEnv = evaluateMapping(template.env ?? undefined, base, status());
  const jobEnv = evaluateMapping(job.env, base, status());
  const contexts = (): Contexts => ({
    ...base,
    env: { ...workflowEnv, ...jobEnv, ...added },
    steps: stepsContext,
    job: { status: state.hasFailed ? 'failure' : 'success' },
  });

  const runs: StepRun[] = [];
  const posts: Array<() => Promise<StepRun | undefined>> = [];
  try {
    if (!evaluateCondition(job.if, base, status()))
      return { name: jobName.toString(), conclusion: 'success', steps: [], outputs: {} };
    for (const [index, step] of job.steps.entries()) {
      const mapping = stepMappings[index];
      if (mapping === undefined) throw new Error(`Step ${index} has no source.`);
      refuseUnknownKeys(mapping, STEP_KEYS, `step ${index}`);
      const stepRun = await runStep(step, mapping);
      runs.push(stepRun);
      stepsContext[step.id] = {
        outputs: stepRun.outputs,
        outcome: stepRun.outcome,
        conclusion: stepRun.conclusion,
      };
      if (stepRun.conclusion === 'failure') state.hasFailed = true;
    }
    for (const runPost of posts.reverse()) {
      const postRun = await runPost();
      if (postRun === undefined) continue;
      runs.push(postRun);
      if (postRun.conclusion === 'failure') state.hasFailed = true;
    }
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
  const { isCancelled, hasFailed } = status();
  const name = evaluateText(jobName, base, status());
  const outputs = evaluateMapping(job.outputs, contexts(), status());
  const conclusion = isCancelled ? 'cancelled' : hasFailed ? 'failure' : 'success';
  return { name, conclusion, steps: runs, outputs };

  async function runStep(step: Step, mapping: MappingToken): Promise<StepRun> {
    const name = step.name === undefined ? step.id : evaluateText(step.name, contexts(), status());
    const skipped: StepRun = {
      id: step.id,
      name,
      outcome: 'skipped',
      conclusion: 'skipped',
      exitCode: null,
      stdout: '',
      stderr: '',
      outputs: {},
      summary: '',
      annotations: [],
      durationMs: 0,
    };
    if (step.if === undefined) throw new Error(`The runner does not know what "${name}" is.`);
    // A step that runs although the run is cancelled is one that is meant to: nothing interrupts it again.
    const cancel = status().isCancelled ? undefined : options.cancel;
    if (!evaluateCondition(step.if, contexts(), status())) return skipped;
    options.onStep?.(name);
    const startedMs = performance.now();
    const stepEnv = evaluateMapping('env' in step ? step.env : undefined, contexts(), status());
    const finish = (outcome: StepConclusion, rest: Partial<StepRun>): StepRun => {
      const isForgiven = outcome === 'failure' && mapping.find('continue-on-error')?.toString() === 'true';
      const durationMs = performance.now() - startedMs;
      return { ...skipped, ...rest, outcome, conclusion: isForgiven ? 'success' : outcome, durationMs };
    };

    if ('uses' in step) {
      const action = step.uses.value.split('@')[0] ?? '';
      const double = options.actions?.[action];
      if (double === undefined) throw new Error(`No stand-in was given for ${step.uses.value}.`);
      const inputs = evaluateMapping(mapping.find('with'), contexts(), status());
      if (typeof double === 'string') {
        const javascript = readJavascriptAction(double);
        const inputEnv = makeInputEnv(javascript, inputs, contexts(), status());
        const actionEnv = { ...stepEnv, ...inputEnv };
        const { post } = javascript;
        // What the action wrote to GITHUB_STATE. Its `post` runs if it was started at all, whatever became of it.
        const saved: Record<string, string> = {};
        if (post !== undefined) {
          posts.push(async () => {
            if (!truthy(evaluateExpression(post.condition, contexts(), status()))) return undefined;
            options.onStep?.(`Post ${name}`);
            const postEnv = { ...actionEnv, ...saved };
            const signal = status().isCancelled ? undefined : options.cancel;
            const postRun = await runProcess(['node', post.file], options.workspace, postEnv, signal);
            return { ...postRun, id: `post-${step.id}`, name: `Post ${name}` };
          });
        }
        // The runner signals an action's own process, and there is no shell between.
        return runProcess(['node', javascript.main], options.workspace, actionEnv, cancel, saved);
      }
      try {
        return finish('success', { outputs: await double({ inputs, workspace: options.workspace }) });
      } catch (error) {
        return finish('failure', { stderr: String(error) });
      }
    }
    if (!('run' in step)) throw new Error(`The runner does not know what "${name}" is.`);

    const shell = SHELLS[mapping.find('shell')?.toString() ?? ''];
    if (shell === undefined) throw new Error(`The runner does not know the shell of "${name}".`);
    const workingDirectory = mapping.find('working-directory');
    const cwd =
      workingDirectory === undefined
        ? options.workspace
        : join(options.workspace, evaluateText(workingDirectory, contexts(), status()));
    const script = join(mkdtempSync(join(files, 'script-')), 'script.sh');
    writeFileSync(script, evaluateText(step.run, contexts(), status()));
    return runProcess([...shell, script], cwd, stepEnv, cancel);

    async function runProcess(
      command: readonly string[],
      directory: string,
      ownEnv: Readonly<Record<string, string>>,
      signal: AbortSignal | undefined,
      saved: Record<string, string> = {},
    ): Promise<StepRun> {
      const commandFiles = mkdtempSync(join(files, 'step-'));
      const paths = {
        GITHUB_OUTPUT: join(commandFiles, 'output'),
        GITHUB_ENV: join(commandFiles, 'env'),
        GITHUB_STATE: join(commandFiles, 'state'),
        GITHUB_STEP_SUMMARY: join(commandFiles, 'summary'),
      };
      for (const path of Object.values(paths)) writeFileSync(path, '');
      mkdirSync(directory, { recursive: true });
      const env = { ...runner, ...workflowEnv, ...jobEnv, ...added, ...ownEnv, ...paths };
      const result = await runShell(command, directory, env, signal, options.cancelTimes ?? CANCEL_TIMES);

      Object.assign(added, parseRunnerFile(readFileSync(paths.GITHUB_ENV, 'utf8')));
      for (const [key, value] of Object.entries(parseRunnerFile(readFileSync(paths.GITHUB_STATE, 'utf8'))))
        saved[`STATE_${key}`] = value;
      const outcome = result.isCancelled ? 'cancelled' : result.exitCode === 0 ? 'success' : 'failure';
      return finish(outcome, {
        exitCode: result.exitCode,
        stdout: result.stdout,
        stderr: result.stderr,
        outputs: parseRunnerFile(readFileSync(paths.GITHUB_OUTPUT, 'utf8')),
        summary: readFileSync(paths.GITHUB_STEP_SUMMARY, 'utf8'),
        annotations: [...parseAnnotations(result.stdout), ...parseAnnotations(result.stderr)],
      });
    }
  }
}

interface ShellResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly isCancelled: boolean;
}

async function runShell(
  command: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
  cancel: AbortSignal | undefined,
  times: CancelTimes,
): Promise<ShellResult> {
  const [program = 'bash', ...args] = command;
  // A process group of its own, so that what a step leaves behind can be ended with it, as the runner does.
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      texts[stream] += text;
    });
  }
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (exitCode) => resolve(exitCode));
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ended = new AbortController();
  const cancelling = cancel === undefined ? undefined : cancelShell(child, cancel, ended.signal, times);
  let exitCode: number | null;
  try {
    exitCode = await exited;
  } finally {
    ended.abort();
    killGroup(child);
  }
  await closed;
  return { exitCode, ...texts, isCancelled: (await cancelling) === true };
}

/** Waits for a cancellation, then signals the shell until it has ended. Returns whether there was one. */
async function cancelShell(
  child: ChildProcess,
  cancel: AbortSignal,
  ended: AbortSignal,
  times: CancelTimes,
): Promise<boolean> {
  if (!cancel.aborted) {
    await new Promise<void>((resolve) => {
      cancel.addEventListener('abort', () => resolve(), { once: true });
      ended.addEventListener('abort', () => resolve(), { once: true });
    });
  }
  if (ended.aborted) return false;
  const { sleep: pause = (ms, signal) => sleep(ms, undefined, { signal }) } = times;
  const wait = async (ms: number): Promise<void> => {
    await pause(ms, ended).catch(() => undefined);
  };
  child.kill('SIGINT');
  await wait(times.interruptMs);
  if (!ended.aborted) child.kill('SIGTERM');
  await wait(times.terminateMs);
  if (!ended.aborted) killGroup(child);
  return true;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: nothing of the group is left, which is the usual case.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The variables that the runner makes of the `github` context. */
function variablesOf(github: Readonly<Record<string, unknown>>): Record<string, string> {
  const names = [
    'actor',
    'api_url',
    'base_ref',
    'event_name',
    'head_ref',
    'ref',
    'ref_name',
    'repository',
    'repository_owner',
    'run_attempt',
    'run_id',
    'run_number',
    'server_url',
    'sha',
    'triggering_actor',
    'workflow',
  ];
  return Object.fromEntries(
    names
      .filter((name) => github[name] !== undefined)
      .map((name) => [`GITHUB_${name.toUpperCase()}`, String(github[name])]),
  );
}

function childMapping(parent: MappingToken, key: string): MappingToken {
  const child = parent.find(key);
  if (child === undefined || !isMapping(child)) throw new Error(`"${key}" is not a mapping.`);
  return child;
}

function childSequence(parent: MappingToken, key: string): MappingToken[] {
  const child = parent.find(key);
  if (child === undefined || !isSequence(child)) throw new Error(`"${key}" is not a list.`);
  const items: TemplateToken[] = [];
  for (let index = 0; index < child.count; index++) items.push(child.get(index));
  return items.map((item) => {
    if (!isMapping(item)) throw new Error(`"${key}" holds something that is not a mapping.`);
    return item;
  });
}

function refuseUnknownKeys(mapping: MappingToken, known: readonly string[], where: string): void {
  for (const [key, value] of iterate(mapping)) {
    if (!known.includes(key)) throw new Error(`The runner does not know \`${key}\` of ${where}.`);
    if (key === 'continue-on-error' && isBasicExpression(value)) {
      throw new Error(`The runner does not know an expression in \`continue-on-error\` of ${where}.`);
    }
  }
}
