import type { CodeHost } from '../github/client.ts';
import type { Metric } from '../training/metrics.ts';
import type { QueueState } from '../training/task-life.ts';
import type { Curves } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import type { ReportedTask } from './reported-task.ts';

/** The report leaves the plots of a task with more metrics than this to ClearML's own page. */
export const MANY_METRICS = 1000;

/** What ClearML needs to find a metric. */
export type MetricName = Pick<Metric, 'name' | 'title' | 'series'>;

/** A task's console or a part of it, oldest line first. */
export interface ConsoleEnd {
  readonly lines: readonly string[];
  readonly isWhole: boolean;
}

/** The tasks to search for in a pipeline. */
interface CodeSearch {
  readonly codeIds: readonly string[];
  readonly pipeline: string;
  readonly projectId: string | undefined;
}

/** What a report asks ClearML. */
export interface ReportServer {
  /** Those of the tasks that exist, by id. */
  readTasks(ids: readonly string[]): Promise<ReadonlyMap<string, ReportedTask>>;
  /**
   * The newest 500 tasks by commit or code id, completed or under way, with these metrics: `all` where patterns gate. With
   * a branch also those of the branch, whatever their code.
   */
  findTasksByCode(
    search: CodeSearch & {
      readonly branch: string | undefined;
      readonly metrics: readonly MetricName[] | 'all';
    },
  ): Promise<readonly ReportedTask[]>;
  /** The newest 500 completed tasks that may count for a branch, on it or by code id; without metrics. */
  findTasksByBranch(search: CodeSearch & { readonly branch: string }): Promise<readonly ReportedTask[]>;
  /** The newest completed tasks of the project with the tag, with these metrics. */
  findTasksByTag(search: {
    readonly tag: string;
    readonly projectId: string;
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  readCurves(tasks: readonly ReportedTask[], metrics: readonly MetricName[]): Promise<Curves>;
  /** The end of a task's console, oldest line first. */
  readLogEnd(taskId: string): Promise<ConsoleEnd>;
  /** A task's console from its beginning, up to 20,000 messages. */
  readConsole(taskId: string): Promise<ConsoleEnd>;
  readQueues(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>;
  /** The tables and matrices that a task reported. */
  readPlots(taskId: string): Promise<readonly Plot[]>;
}

/** The services that a report asks; GitHub only with a token. */
export interface SourceServers {
  readonly clearml: ReportServer;
  readonly github: Promise<CodeHost> | undefined;
}
