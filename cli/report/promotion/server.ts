import * as v from 'valibot';
import { type ClearmlClient, isRefusal } from '../../clearml/client.ts';
import { PAGE_SIZE } from '../../clearml/fields.ts';
import { changeTags } from '../../clearml/tags.ts';
import { findNewestTasks, findTasks } from '../../clearml/tasks.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import { escapeRegExp } from '../../shell/redaction.ts';
import { isTaskId, RUNTIME_KEYS } from '../../training/task.ts';
import { keyOfUse } from '../../training/uses.ts';
import type { ReportedTask } from '../reported-task.ts';
import { matchCode, TASK_FIELDS, toReportedTask } from '../server.ts';
import type { FoundModel, PromotionTags, PushedCommit, TagChange } from './decide.ts';

/** What a promotion asks ClearML. */
export interface PromotionServer {
  /** All tasks of the pipeline with one of the tags, with all metrics. */
  findTagged(pipeline: string, tags: PromotionTags): Promise<readonly ReportedTask[]>;
  /** The newest 500 tasks of the pipeline that may train a pushed commit; without metrics. */
  findTasksOfCommit(
    pipeline: string,
    pushed: PushedCommit,
    tree: string | undefined,
  ): Promise<readonly ReportedTask[]>;
  /** Those of the models that exist, by id. */
  readModels(ids: readonly string[]): Promise<ReadonlyMap<string, FoundModel>>;
  /** @throws Failure (not found) if the task is gone */
  changeTaskTags(change: Pick<TagChange, 'task' | 'add' | 'remove'>): Promise<void>;
  /** Models that are gone are passed over. */
  changeModelTags(change: Pick<TagChange, 'models' | 'add' | 'remove'>): Promise<void>;
  /** As the SDK's `Model.publish` does: the task stays as it is. */
  publishModel(id: string): Promise<void>;
}

const ModelsSchema = v.object({
  models: v.array(
    v.object({
      id: v.string(),
      tags: v.nullish(v.array(v.string()), []),
      ready: v.nullish(v.boolean(), false),
    }),
  ),
});

/** What a promotion asks of ClearML, over its REST API. */
export function createPromotionServer(client: ClearmlClient, signal: AbortSignal): PromotionServer {
  const options = { signal };
  const readPage = async (ids: readonly string[]): Promise<FoundModel[]> => {
    const query = { id: ids, only_fields: ['id', 'tags', 'ready'], page: 0, page_size: PAGE_SIZE };
    const found = await client.call('models.get_all', query, ModelsSchema, {
      ...options,
      isRepeatable: true,
    });
    return found.models.map(({ id, tags, ready }) => ({ id, tags, isPublished: ready }));
  };
  return {
    async findTagged(pipeline, { tag, previous }) {
      const filter = { [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline, tags: ['__$any', tag, previous] };
      const found = await findTasks(client, filter, [...TASK_FIELDS, 'last_metrics'], options);
      // The server ignores a filter that it does not know, and then finds everything.
      return found
        .map(toReportedTask)
        .filter(
          ({ runtime, tags }) =>
            runtime[RUNTIME_KEYS.pipeline] === pipeline && (tags.includes(tag) || tags.includes(previous)),
        );
    },
    async findTasksOfCommit(pipeline, { commit }, tree) {
      const { _any_: match } = matchCode([commit, ...(tree === undefined ? [] : [tree])]);
      const uses = ['branch', 'queue'].map((user) => `runtime.${keyOfUse(user as 'branch' | 'queue')}`);
      const filter = {
        [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline,
        _any_: {
          fields: [...match.fields, ...uses],
          pattern: `${match.pattern}|^${escapeRegExp(commit)} `,
        },
      };
      return (await findNewestTasks(client, filter, TASK_FIELDS, PAGE_SIZE, options)).map(toReportedTask);
    },
    async readModels(ids) {
      const wanted = [...new Set(ids)].filter(isTaskId);
      const found = new Map<string, FoundModel>();
      for (let start = 0; start < wanted.length; start += PAGE_SIZE) {
        const page = wanted.slice(start, start + PAGE_SIZE);
        for (const model of await readPage(page)) if (page.includes(model.id)) found.set(model.id, model);
      }
      return found;
    },
    async changeTaskTags({ task, add, remove }) {
      try {
        await changeTags(client, 'tasks', [task], { add, remove }, options);
      } catch (error) {
        if (!isRefusal(error, 'no such task')) throw error;
        throw new Failure(`ClearML has no task ${task}`, {
          exitCode: EXIT_CODES.notFound,
          remedy: 'It was deleted while it was being promoted. Run this step again.',
          cause: error,
        });
      }
    },
    async changeModelTags({ models, add, remove }) {
      if (models.length > 0) await changeTags(client, 'models', models, { add, remove }, options);
    },
    async publishModel(model) {
      try {
        const body = { model, publish_task: false };
        await client.call('models.set_ready', body, v.unknown(), { ...options, isRepeatable: true });
      } catch (error) {
        // The answer to an earlier attempt got lost, or somebody else was faster.
        if (!isRefusal(error, 'published already')) throw error;
      }
    },
  };
}
