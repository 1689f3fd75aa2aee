import { EXIT_CODES, Failure, failUsage } from '../../shell/failure.ts';
import { chooseNewestLaunches } from '../../training/newest-tasks.ts';
import type { Wires } from '../connection.ts';
import type { Options } from '../options.ts';
import { hashOwnPipeline } from '../posting/comment-key.ts';
import { isNamedFor, isOfBranch, isOwn, isTrainedFor, type PushedCommit, sortBySeed } from './decide.ts';
import { createPromotionServer } from './server.ts';

/**
 * The tasks of a pushed commit in the settings' pipeline, the first seed's first: those of the newest launch that named the
 * commit, else one with the same files.
 *
 * @throws Failure (not found) if there are none, or (usage) if the commit has several legs of a matrix
 */
export async function findPushedTasks(
  pushed: PushedCommit,
  options: Options,
  { clearml, github, signal }: Wires,
): Promise<string[]> {
  const pipeline = await hashOwnPipeline(options);
  // With `paths` the tree tells nothing.
  const tree = options.sources.hasPaths ? undefined : await (await github)?.readTree(pushed.commit);
  const found = await createPromotionServer(clearml, signal).findTasksOfCommit(pipeline, pushed, tree);
  const ours = new Map(
    found
      .filter((task) => isOwn(task) && isTrainedFor(task, pushed, tree) && isOfBranch(task, pushed))
      .map((task) => [task.id, task]),
  );
  const candidates = [...ours.values()].map((task) => ({ ...task, commit: task.script.commit }));
  const commitOf = ({ id }: { readonly id: string }) => {
    const task = ours.get(id);
    return task !== undefined && isNamedFor(task, pushed) ? pushed.commit : 'another with the same files';
  };
  const [ids, ...legs] = chooseNewestLaunches(candidates, commitOf, pushed.commit);
  if (ids === undefined) {
    throw new Failure(`ClearML has no task of commit ${pushed.commit.slice(0, 10)} and this pipeline`, {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'No run has launched it, or its tasks were deleted. The settings name the pipeline: check project and task-name.',
    });
  }
  if (legs.length > 0) {
    throw failUsage(
      `commit ${pushed.commit.slice(0, 10)} has trainings with different params on the launch’s command line`,
      'Name the task to promote, or all its seeds: each leg of a matrix has a model of its own.',
    );
  }
  const chosen = ids.flatMap((id) => ours.get(id) ?? []);
  return sortBySeed(chosen, options).map(({ id }) => id);
}
