import * as v from 'valibot';
import { type ClearmlClient, isRefusal } from '../../clearml/client.ts';
import { PAGE_SIZE } from '../../clearml/fields.ts';
import { changeTags } from '../../clearml/tags.ts';
import { findNewestTasks, findTasks, readTasks } from '../../clearml/tasks.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import { escapeRegExp } from '../../shell/redaction.ts';
import type { PromotionTags } from '../../training/names.ts';
import { isTaskId, RUNTIME_KEYS } from '../../training/task.ts';
import { keyOfUse } from '../../training/uses.ts';
import type { ReportedTask } from '../reported-task.ts';
import { matchCode, TASK_FIELDS, toReportedTask } from '../server.ts';
import type { FoundModel, PushedCommit, TagChange } from './decide.ts';

/** What a promotion asks ClearML. */
export interface PromotionServer {
  /** All tasks of the pipeline with one of the tags, or that made a model with one; with all metrics. And these models. */
  findTagged(pipeline: string, tags: PromotionTags): Promise<FoundTagged>;
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

export interface FoundTagged {
  readonly tasks: readonly ReportedTask[];
  readonly models: readonly FoundModel[];
}

const TagsSchema = v.nullish(v.array(v.string()), []);

const ModelsSchema = v.object({
  models: v.array(
    v.object({
      id: v.string(),
      tags: TagsSchema,
      system_tags: TagsSchema,
      ready: v.nullish(v.boolean(), false),
      task: v.nullish(v.string()),
    }),
  ),
});

/** What a promotion asks of ClearML, over its REST API. */
export function createPromotionServer(client: ClearmlClient, signal: AbortSignal): PromotionServer {
  const options = { signal };
  const readPage = async (filter: Readonly<Record<string, unknown>>, page = 0): Promise<FoundModel[]> => {
    const fields = ['id', 'tags', 'system_tags', 'ready', 'task'];
    const query = { ...filter, only_fields: fields, page, page_size: PAGE_SIZE };
    const found = await client.call('models.get_all', query, ModelsSchema, {
      ...options,
      isRepeatable: true,
    });
    return found.models.map(({ id, tags, system_tags: systemTags, ready, task }) => ({
      id,
      tags,
      isPublished: ready,
      isArchived: systemTags.includes('archived'),
      task: task ?? undefined,
    }));
  };
  const findModels = async (filter: Readonly<Record<string, unknown>>): Promise<FoundModel[]> => {
    const found: FoundModel[] = [];
    for (let page = 0; ; page += 1) {
      const models = await readPage(filter, page);
      found.push(...models);
      if (models.length < PAGE_SIZE) return found;
    }
  };
  return {
    async findTagged(pipeline, { tag, previous }) {
      const hasTag = ({ tags }: { readonly tags: readonly string[] }) =>
        tags.includes(tag) || tags.includes(previous);
      const tags = ['__$any', tag, previous];
      const fields = [...TASK_FIELDS, 'last_metrics'] as const;
      const [found, anyones] = await Promise.all([
        findTasks(client, { [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline, tags }, fields, options),
        findModels({ tags }),
      ]);
      const models = anyones.filter(hasTag);
      const tasks = new Map(found.filter(hasTag).map((task) => [task.id, task]));
      // People tag a model on its page, and not the task. Other pipelines use the tag too.
      const makers = models.flatMap(({ task }) => task ?? []).filter((id) => isTaskId(id) && !tasks.has(id));
      for (const [id, task] of await readTasks(client, makers, fields, options)) tasks.set(id, task);
      // The server ignores a filter that it does not know, and then finds everything.
      const own = [...tasks.values()].map(toReportedTask);
      return { tasks: own.filter(({ runtime }) => runtime[RUNTIME_KEYS.pipeline] === pipeline), models };
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
      const found = new Map<string, FoundModel>();
      const wanted = [...new Set(ids)].filter(isTaskId);
      for (let start = 0; start < wanted.length; start += PAGE_SIZE) {
        const page = wanted.slice(start, start + PAGE_SIZE);
        for (const model of await readPage({ id: page }))
          if (page.includes(model.id)) found.set(model.id, model);
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
