import type { CodeHost } from '../github/client.ts';
import type { Metric } from '../training/metrics.ts';
import type { QueueState } from '../training/task-life.ts';
import type { Curves } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import type { ReportedTask } from './reported-task.ts';

/** A task with more metrics than this is a large document; its plots are left to ClearML's own page. */
export const MANY_METRICS = 1000;

/** What ClearML finds a metric by. */
export type MetricName = Pick<Metric, 'name' | 'title' | 'series'>;

/** A task's console or a part of it, oldest line first. */
export interface ConsoleEnd {
  readonly lines: readonly string[];
  readonly isWhole: boolean;
}

/** What a report asks of ClearML. */
export interface ReportServer {
  /** The tasks with these ids, those that exist. */
  readTasks(ids: readonly string[]): Promise<ReadonlyMap<string, ReportedTask>>;
  /** The newest 500 tasks of a pipeline by commit or code id that have completed or may yet, with the metrics that are named. */
  findTasksByCode(search: {
    readonly codeIds: readonly string[];
    /** Those of this branch too, whatever their code. */
    readonly branch: string | undefined;
    readonly pipeline: string;
    readonly projectId: string | undefined;
    /** `all` where patterns gate: nobody knows the names. */
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  /** As far as they may count for a branch, the newest 500 completed tasks of a pipeline on it or by code id; without metrics. */
  findTasksByBranch(search: {
    readonly branch: string;
    readonly codeIds: readonly string[];
    readonly pipeline: string;
    readonly projectId: string | undefined;
  }): Promise<readonly ReportedTask[]>;
  /** The newest completed tasks with the tag, in the project, with the metrics that are named. */
  findTasksByTag(search: {
    readonly tag: string;
    readonly projectId: string;
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  readCurves(tasks: readonly ReportedTask[], metrics: readonly MetricName[]): Promise<Curves>;
  /** The end of a task's console, oldest line first. */
  readLogEnd(taskId: string): Promise<ConsoleEnd>;
  /** A task's console from its beginning, as far as a report can wait for it. */
  readConsole(taskId: string): Promise<ConsoleEnd>;
  readQueues(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>;
  /** The tables and matrices that a task reported. */
  readPlots(taskId: string): Promise<readonly Plot[]>;
}

/** Whom a report asks; GitHub only where there is a token. */
export interface SourceServers {
  readonly clearml: ReportServer;
  readonly github: Promise<CodeHost> | undefined;
}
