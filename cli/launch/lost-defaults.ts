import type { ClearmlServer } from '../clearml/client.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import type { Clock } from '../shell/world.ts';
import { toSingleLine } from '../text/single-line.ts';
import { FRONT_END_ADVICE, FRONT_END_NAMES, findLostDefaults } from '../training/params/front-end.ts';
import type { LaunchPlan } from './plan.ts';
import { findShownParams } from './server.ts';
import type { Survey } from './survey.ts';

/** A launch does not wait longer for what is only a warning. */
const TIMEOUT_MS = 5000;
/** How many params are named. */
const MAX_NAMES = 5;

/**
 * Looks at earlier tasks for a front end that takes the defaults of all params that a launch does not give.
 *
 * @returns a warning; undefined where none shows one, nothing is created, or ClearML does not say
 */
export async function findLostDefaultsProblem(
  plan: LaunchPlan,
  { projectId, reusable }: Survey,
  server: ClearmlServer,
  clock: Clock,
): Promise<string | undefined> {
  const params = new Map(plan.params);
  if (plan.seeds !== undefined) params.set(plan.seedParam.name, { ...plan.seedParam, value: '' });
  // Without params only click is at stake. A push has told of it, which saves each pull request the question.
  const isAtStake = params.size > 0 || plan.run.pullRequest === undefined;
  if (projectId === undefined || !isAtStake || plan.tasks.every((task) => reusable.has(task)))
    return undefined;
  const reason = new Error('the time is up');
  const tasks = await withTimeLimit(
    { clock, timeoutMs: TIMEOUT_MS, reason, signal: server.signal },
    (signal) => findShownParams({ ...server, signal }, projectId, plan),
  ).catch(() => []);
  for (const { id, ...shown } of tasks) {
    const lost = findLostDefaults(shown, { params, entryPoint: plan.entryPoint });
    if (lost === null) return undefined;
    if (lost === undefined) continue;
    const { frontEnd, names } = lost;
    const others = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
    return `the training seems to use ${FRONT_END_NAMES[frontEnd]}, as task ${id} shows, and this launch leaves out ${names
      .slice(0, MAX_NAMES)
      .map((name) => toSingleLine(name, 60))
      .join(', ')}${others}. ${FRONT_END_ADVICE[frontEnd]}`;
  }
  return undefined;
}
