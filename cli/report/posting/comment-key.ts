import {
  type CommentIdentity,
  formatMarker,
  formatOlderKey,
  readOlderTaskName,
} from '../../github/comments.ts';
import { Failure } from '../../shell/failure.ts';
import type { Redact } from '../../shell/redaction.ts';
import { type Names, resolveNames } from '../../training/names.ts';
import { hashPipeline, identifyPipelineRepository } from '../../training/pipeline.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import type { Options } from '../options.ts';
import type { ReportedTask } from '../reported-task.ts';

/** The comment that a report goes to. */
export interface CommentName extends CommentIdentity {
  readonly key: string;
}

/**
 * The comment of these tasks: by `--comment-key`, else by their pipeline and the params on the command lines of their
 * launches. So every workflow of a pipeline finds the same comment, and the legs of a matrix have one each. Without tasks
 * the pipeline is the one that the settings name.
 */
export async function nameComment(
  tasks: ReadonlyArray<Pick<ReportedTask, 'name' | 'runtime'>>,
  options: Options,
  redact: Redact,
): Promise<CommentName> {
  // The marker is part of the text, so it is redacted too.
  const mark = (key: string) => redact(formatMarker(key));
  const given = options.flags.commentKey;
  if (given !== undefined) return { key: given, markers: [mark(given)], isKin: () => false };
  const names = readNames(options);
  const named = tasks.length > 0 ? tasks : [{ name: names.taskName, runtime: {} }];
  const pipelines = await Promise.all(
    named.map(
      // A reset empties the runtime, and a task that was made by hand has none of ours.
      ({ name, runtime }) =>
        runtime[RUNTIME_KEYS.pipeline] ?? hashNames({ ...names, taskName: name }, options),
    ),
  );
  const places = named.map(({ runtime: { [RUNTIME_KEYS.leg]: leg } }, index) =>
    [pipelines[index], leg].filter((part) => part !== undefined).join(' '),
  );
  const key = `pipeline ${[...new Set(places)].sort().join(', ')}`;
  // A training can rename its task. Before or after that, an older version wrote under either name.
  const isLaunched = pipelines.includes(await hashNames(names, options));
  const taskNames = [...tasks.slice(0, 1).map(({ name }) => name), ...(isLaunched ? [names.taskName] : [])];
  const { workflow, job } = options.github;
  const olderKeys = taskNames.map((taskName) => formatOlderKey({ workflow, job, taskName }));
  return {
    key,
    markers: [key, ...olderKeys].map(mark),
    isKin(body) {
      const taskName = readOlderTaskName(body);
      return taskName !== undefined && taskNames.includes(taskName);
    },
  };
}

/** The project and the task name that options and settings give; both empty if they give none that ClearML would take. */
function readNames(options: Options): Names {
  try {
    return resolveOwnNames(options);
  } catch (error) {
    if (error instanceof Failure) return { project: '', taskName: '' };
    throw error;
  }
}

function resolveOwnNames({ config, flags, target }: Options): Names {
  return resolveNames(flags, config, { repository: target.repository }, undefined);
}

/**
 * The pipeline that options and settings name, hashed.
 *
 * @throws Failure (usage) if they give no name that ClearML would take
 */
export function hashOwnPipeline(options: Options): Promise<string> {
  return hashNames(resolveOwnNames(options), options);
}

function hashNames(names: Names, { github, target }: Options): Promise<string> {
  const repository = identifyPipelineRepository(target.repository, github.serverUrl, undefined);
  return hashPipeline({ repository, ...names });
}
