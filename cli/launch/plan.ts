import type { GithubRun } from '../github/event.ts';
import { toWebUrl } from '../shell/git-url.ts';
import type { HistoryMark } from '../training/history-mark.ts';
import { formatGivenParams } from '../training/params/given.ts';
import { hashPipeline, hashText, identifyPipelineRepository } from '../training/pipeline.ts';
import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { formatUse, keyOfUse, toUser, type User } from '../training/uses.ts';
import type { Code } from './code.ts';
import type { PlannedDue } from './due.ts';
import type { LaunchOptions } from './options.ts';
import { groupParams, type Params, sortParams } from './params.ts';

/** Everything that is known before ClearML is asked. */
export interface LaunchPlan extends LaunchOptions {
  readonly pipelineHash: string;
  readonly tasks: readonly PlannedTask[];
  /** Whom the tasks are for. */
  readonly user: User;
  /** Tags that a reused task gets where it lacks them. */
  readonly tagsOfReused: readonly string[];
  /** How a reused task is marked as the branch's; undefined where the launch is not the branch's own. */
  readonly historyMark: HistoryMark | undefined;
  /** Host, owner and name, of the pipeline. */
  readonly repository: string;
  /** What nobody waits for; undefined where a job does. */
  readonly due: PlannedDue | undefined;
}

export interface PlannedTask {
  /** Hash of everything that decides the result. */
  readonly key: string;
  readonly seed: number | undefined;
  /** The body of `tasks.create` but for `project`, whose id is not known yet, and the launch's own token. */
  readonly document: TaskDocument;
  readonly content: TaskContent;
}

/** What a task trains besides the code, in our words; empty means none. */
export interface TaskContent {
  readonly entryPoint: string;
  readonly workingDir: string;
  readonly diff: string;
  readonly requirements: string;
  readonly image: string;
  readonly imageArguments: string;
  /** Names, values and types, as JSON. */
  readonly params: string;
}

/** The body of ClearML's `tasks.create`; every hyperparameter value is a text. */
export interface TaskDocument {
  readonly name: string;
  readonly type: 'training';
  readonly comment: string;
  readonly tags: readonly string[];
  readonly script: {
    readonly repository: string;
    readonly branch: string;
    readonly version_num: string;
    readonly entry_point: string;
    readonly working_dir: string;
    readonly diff: string;
    readonly requirements?: { readonly pip: string } | undefined;
  };
  readonly hyperparams?: Readonly<Record<string, Readonly<Record<string, HyperParameter>>>> | undefined;
  readonly container?:
    | { readonly image?: string | undefined; readonly arguments?: string | undefined }
    | undefined;
  readonly runtime: Readonly<Record<string, string>>;
}

export interface HyperParameter {
  readonly section: string;
  readonly name: string;
  readonly value: string;
  /** Only where one was named: the SDK keeps it, and the training's own would be hidden. */
  readonly type?: string | undefined;
}

/** Plans the tasks of a launch, one per seed, with their keys. */
export async function planLaunch(options: LaunchOptions, due: PlannedDue | undefined): Promise<LaunchPlan> {
  const { project, taskName, run, code, params, seeds } = options;
  const repository = identifyPipelineRepository(run.repository, run.serverUrl, code.cloneUrl);
  const pipelineHash = await hashPipeline({ repository, project, taskName });
  const groupHash = await hashTraining(pipelineHash, params, options);
  const tagsOfReused = [
    ...(run.pullRequest === undefined ? [] : [tagPullRequest(run.pullRequest)]),
    ...(seeds === undefined ? [] : [`seeds:${groupHash.slice(0, 8)}`]),
  ];
  const tags = ['ci', ...tagsOfReused, `branch:${code.branch}`, ...options.tags];
  return {
    ...options,
    pipelineHash,
    user: toUser(run),
    tasks: await Promise.all(
      (seeds ?? [undefined]).map((seed) => planTask(seed, pipelineHash, [...new Set(tags)], options)),
    ),
    tagsOfReused,
    historyMark: planHistoryMark(options),
    repository,
    due,
  };
}

async function planTask(
  seed: number | undefined,
  pipelineHash: string,
  tags: readonly string[],
  options: LaunchOptions,
): Promise<PlannedTask> {
  const { code, run, entryPoint, workingDir, requirementsText, dockerImage, dockerArgs } = options;
  const params = new Map(options.params);
  const { seedParam } = options;
  if (seed !== undefined) params.set(seedParam.name, { ...seedParam, value: String(seed) });
  const given = formatGivenParams(sortParams(params));
  const key = await hashTraining(pipelineHash, params, options);
  return {
    key,
    seed,
    content: {
      entryPoint,
      workingDir,
      diff: code.diff,
      requirements: requirementsText ?? '',
      image: dockerImage ?? '',
      imageArguments: dockerArgs ?? '',
      params: given,
    },
    document: {
      name: options.taskName,
      type: 'training',
      comment: describeOrigin(run, code),
      tags,
      script: {
        repository: code.cloneUrl,
        branch: code.branch,
        version_num: code.commit,
        entry_point: entryPoint,
        working_dir: workingDir,
        diff: code.diff,
        requirements: requirementsText === undefined ? undefined : { pip: requirementsText },
      },
      hyperparams: params.size === 0 ? undefined : groupParams(params),
      container:
        dockerImage === undefined && dockerArgs === undefined
          ? undefined
          : { image: dockerImage, arguments: dockerArgs },
      runtime: {
        ...listRuntime(key, pipelineHash, run, code),
        ...(await markLeg(options)),
        [RUNTIME_KEYS.given]: given,
      },
    },
  };
}

/** Hash of everything that decides the result: pipeline, code, params and what they run in. */
function hashTraining(
  pipelineHash: string,
  params: Params,
  { code, entryPoint, workingDir, requirementsText, dockerImage, dockerArgs }: LaunchOptions,
): Promise<string> {
  const surroundings = [entryPoint, workingDir, requirementsText, dockerImage, dockerArgs];
  const sorted = sortParams(params).map(({ name, value, type }) => [name, value, ...(type ? [type] : [])]);
  return hashText(
    JSON.stringify([KEY_VERSION, pipelineHash, code.codeId, code.diff, ...surroundings, sorted]),
  );
}

/** A push to a branch, or a person outside Actions, launches what becomes the branch's history. */
function planHistoryMark({ run, code, config }: LaunchOptions): HistoryMark | undefined {
  if (run.pullRequest !== undefined || code.diff !== '') return undefined;
  const { push } = run;
  const isPushed = push?.branch === code.branch && push.commit === code.commit;
  if (run.eventName !== undefined && !isPushed) return undefined;
  return {
    branch: code.branch,
    commit: code.commit,
    previous: isPushed ? push.previous : undefined,
    isTreeKnown: config.paths === undefined,
  };
}

/** Raise it when the meaning of a key changes: tasks of older versions then count as other trainings. */
const KEY_VERSION = 1;

function listRuntime(key: string, pipelineHash: string, run: GithubRun, code: Code): Record<string, string> {
  const values: Record<string, string | undefined> = {
    [RUNTIME_KEYS.key]: key,
    [RUNTIME_KEYS.pipeline]: pipelineHash,
    [RUNTIME_KEYS.code]: code.codeId,
    [RUNTIME_KEYS.pullRequest]: run.pullRequest?.toString(),
    [RUNTIME_KEYS.run]: run.runId,
    [RUNTIME_KEYS.attempt]: run.runAttempt,
    [RUNTIME_KEYS.event]: run.eventName ?? 'launch',
    [keyOfUse(toUser(run))]: formatUse(code),
  };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Launches of a matrix differ in the params on their command lines: by these each finds its own comment. */
async function markLeg({ givenParams }: LaunchOptions): Promise<Record<string, string>> {
  if (givenParams.size === 0) return {};
  const given = formatGivenParams(sortParams(givenParams));
  return { [RUNTIME_KEYS.leg]: (await hashText(given)).slice(0, 8) };
}

/** For a person who finds the task in ClearML: where it came from and who started it. */
function describeOrigin(run: GithubRun, code: Code): string {
  const repositoryUrl =
    run.repository === undefined ? toWebUrl(code.cloneUrl) : `${run.serverUrl}/${run.repository}`;
  const lines = [
    run.pullRequest === undefined || repositoryUrl === undefined
      ? undefined
      : `Pull request: ${repositoryUrl}/pull/${run.pullRequest}`,
    `Commit: ${repositoryUrl === undefined ? code.commit : `${repositoryUrl}/commit/${code.commit}`} (branch ${code.branch})`,
    code.diff === '' ? undefined : 'With uncommitted changes: see the task’s execution tab',
    run.runId === undefined || repositoryUrl === undefined
      ? undefined
      : `Run: ${repositoryUrl}/actions/runs/${run.runId}${run.runAttempt === undefined ? '' : `/attempts/${run.runAttempt}`}`,
    `Started by: ${run.actor ?? 'a person'}, ${run.eventName === undefined ? 'from the command line' : `event ${run.eventName}`}`,
  ];
  return lines.filter((line) => line !== undefined).join('\n');
}
