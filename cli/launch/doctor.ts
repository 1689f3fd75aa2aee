import type { ClearmlServer } from '../clearml/client.ts';
import { listProjectNames } from '../clearml/destination.ts';
import type { TokenRights } from '../github/token-rights.ts';
import { isActions, readGithubToken } from '../shell/environment.ts';
import { EXIT_CODES, Failure, type Settled, settle, takeSettled } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import { formatDuration } from '../text/duration.ts';
import { toSingleLine } from '../text/single-line.ts';
import { describeWorkers } from '../training/queue-words.ts';
import { formatAgentCommand, RUNTIME_KEYS } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import type { PlannedDue } from './due.ts';
import type { LaunchPlan, PlannedTask } from './plan.ts';
import { describeStatus, explainSuperseding } from './result.ts';
import { explainRefusal } from './reuse.ts';
import { readAccount } from './server.ts';
import { type Survey, sortByNearness } from './survey.ts';

/** A dry run does not wait longer for what it can do without. */
const PROBE_TIMEOUT_MS = 10_000;
/** How many near names are listed. */
const MAX_NAMES = 3;

/** What a dry run looks at besides the survey. */
export interface DoctorTools {
  readonly plan: LaunchPlan;
  readonly server: ClearmlServer;
  readonly apiHost: string;
  /** Undefined without a token, or where no repository is named. Its session ends early. */
  readonly askForRights: (session: Session) => Promise<TokenRights | undefined>;
}

/** What is told about one thing, a line each. */
type Finding = readonly [label: string, lines: readonly string[]];

/**
 * Says what a launch would find: whose keys, project, queue, what would be reused, created and ended, and what the token
 * may do. Only reads. What can't be found out is said as unknown; the survey's own failure is thrown afterwards.
 */
export async function tellFindings(
  surveying: Promise<Survey>,
  tools: DoctorTools,
  session: Session,
): Promise<Survey> {
  const { plan, server, apiHost, askForRights } = tools;
  const [surveyed, account, rights] = await Promise.all([
    settle(surveying),
    probe((signal) => readAccount({ ...server, signal }), session),
    probe((signal) => askForRights({ ...session, interruption: signal }), session),
  ]);
  const survey = 'value' in surveyed ? surveyed.value : undefined;
  const findings: Finding[] = [
    // Why there is no account is said by the error.
    ...(survey === undefined && 'failure' in account
      ? []
      : [['ClearML', [`${apiHost}${nameVersion(server)}${nameAccount(account)}`]] as const]),
    ['Code', [describeCode(plan)]],
    ...(plan.due === undefined ? [] : [['Report', [describeDue(plan.due)]] as const]),
    ...(survey === undefined ? [] : await describeSurvey(survey, tools, session)),
    ...describeRights(rights, session),
  ];
  session.voice.say(formatFindings(findings));
  return takeSettled(surveyed);
}

async function describeSurvey(
  survey: Survey,
  { plan, server }: DoctorTools,
  session: Session,
): Promise<Finding[]> {
  const names =
    survey.projectId === undefined
      ? await probe((signal) => listProjectNames({ ...server, signal }), session)
      : { value: [] };
  return [
    ['Project', [describeProject(plan.project, survey, 'value' in names ? names.value : [])]],
    ['Queue', [describeQueue(survey.queue)]],
    [plan.tasks.length === 1 ? 'Task' : 'Tasks', describeTasks(plan, survey)],
    ['Superseded', describeSuperseded(plan, survey)],
  ];
}

async function probe<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { clock, interruption: signal }: Session,
): Promise<Settled<T>> {
  const reason = new Failure('no answer within 10 s', { exitCode: EXIT_CODES.unavailable, remedy: '' });
  return settle(withTimeLimit({ clock, timeoutMs: PROBE_TIMEOUT_MS, reason, signal }, work));
}

function nameVersion({ client }: ClearmlServer): string {
  return client.apiVersion === undefined ? '' : `, API ${toSingleLine(client.apiVersion, 20)}`;
}

function nameAccount(account: Settled<{ readonly user: string; readonly company: string }>): string {
  if ('failure' in account) return `; user unknown: ${account.failure.message}`;
  const [user, company] = [account.value.user, account.value.company].map((name) => toSingleLine(name, 80));
  return `: keys of ${user === '' ? 'an unnamed user' : user}${company === '' ? '' : ` in workspace ${company}`}`;
}

function describeCode({ code }: LaunchPlan): string {
  const changes = code.diff === '' ? '' : ', with uncommitted changes';
  return `commit ${code.commit.slice(0, 10)} of ${toSingleLine(code.branch, 120)}, ${toSingleLine(code.cloneUrl, 200)}${changes}`;
}

function describeDue({ to, isDetached, context, timeoutMs, queueTimeoutMs }: PlannedDue): string {
  const where = typeof to === 'number' ? `pull request ${to}` : `commit ${to.slice(0, 10)}`;
  const status = context === undefined ? 'no commit status' : `commit status "${toSingleLine(context, 80)}"`;
  const limits = `run time-out ${formatDuration(timeoutMs)}, queue time-out ${formatDuration(queueTimeoutMs)}`;
  const who = isDetached ? 'by the collecting workflow' : 'by this job, else by the collecting workflow';
  return `${who}, for ${where}; ${status}; ${limits}`;
}

function describeProject(name: string, { projectId }: Survey, names: readonly string[]): string {
  const quoted = `"${toSingleLine(name, 120)}"`;
  if (projectId !== undefined) return `${quoted} exists`;
  const near = sortByNearness(names, name, 1 / 3)
    .slice(0, MAX_NAMES)
    .map((other) => `"${toSingleLine(other, 120)}"`);
  return `project ${quoted} does not exist yet: it would be created${near.length === 0 ? '' : `; nearest: ${near.join(', ')}`}`;
}

function describeQueue(queue: QueueState): string {
  const { name, entries } = queue;
  const who =
    queue.isForPods === true
      ? 'Kubernetes pods'
      : queue.workers.length === 0
        ? `no worker serves it (${formatAgentCommand(name)})`
        : describeWorkers(queue);
  const waiting = entries.length === 1 ? '1 task waits' : `${entries.length || 'no'} tasks wait`;
  return `"${toSingleLine(name, 80)}": ${who}; ${waiting}`;
}

function describeTasks(plan: LaunchPlan, survey: Survey): string[] {
  let place = survey.queue.entries.length;
  return plan.tasks.map((task) => {
    const known = survey.reusable.get(task);
    const seed = task.seed === undefined ? '' : `seed ${task.seed}: `;
    if (known !== undefined && known.status !== 'created') {
      const queue = survey.otherQueues.get(known.queueId ?? '') ?? survey.queue;
      const index = known.status === 'queued' ? queue.entries.indexOf(known.id) : -1;
      const where = index < 0 ? '' : `, number ${index + 1} in "${toSingleLine(queue.name, 80)}"`;
      return `${seed}reuses ${known.id}: the same training, which ${describeStatus(known.status)}${where}`;
    }
    place += 1;
    return known === undefined
      ? `${seed}new, number ${place} in the queue: ${explainNew(task, plan, survey)}`
      : `${seed}queues ${known.id}, number ${place} in the queue: the same training, which is a draft`;
  });
}

function explainNew(task: PlannedTask, plan: LaunchPlan, { sameKey }: Survey): string {
  const refused = sameKey.flatMap((known) => {
    const why = explainRefusal(known, task, plan);
    return why === undefined || known.runtime[RUNTIME_KEYS.key] !== task.key
      ? []
      : [`task ${known.id} ${why}`];
  });
  const newest = refused.at(-1);
  if (newest === undefined) return 'there is none of the same code, params and surroundings';
  return `${newest}${refused.length > 1 ? ` (and ${refused.length - 1} more)` : ''}`;
}

function describeSuperseded(plan: LaunchPlan, { superseded, givenUp }: Survey): string[] {
  if (plan.run.pullRequest === undefined) return ['nothing: the launch is not for a pull request'];
  if (!plan.supersede) return ['nothing: --no-supersede, or the settings say so'];
  const lines = [
    ...superseded.map(({ id }) => `Task ${id} of an older commit would be ended${explainSuperseding(plan)}`),
    ...givenUp.map(({ id }) => `Task ${id} of an older commit goes on: others use it too`),
  ];
  return lines.length === 0 ? [`nothing of pull request ${plan.run.pullRequest}`] : lines;
}

function describeRights(rights: Settled<TokenRights | undefined>, { env }: Session): Finding[] {
  if (readGithubToken(env) === undefined)
    return [['GitHub', ['unknown: neither GH_TOKEN nor GITHUB_TOKEN is set']]];
  if ('failure' in rights) {
    const { message, exitCode } = rights.failure;
    const isAnswer = exitCode === EXIT_CODES.refused || exitCode === EXIT_CODES.notFound;
    return [['GitHub', [isAnswer ? message : `unknown: ${message}`]]];
  }
  if (rights.value === undefined)
    return [['GitHub', ['unknown: set GITHUB_REPOSITORY to say in which repository the token is to act']]];
  const where = isActions(env) ? '. The log\'s "Set up job" lists those of GITHUB_TOKEN' : '';
  return [['Comment', rights.value.comment] as const, ['Status', rights.value.statuses] as const].map(
    ([label, { isGranted, why }]) => {
      const answer = isGranted === undefined ? 'unknown' : isGranted ? 'allowed' : 'refused';
      return [label, [`${answer}: ${why}${isGranted === undefined ? where : ''}`]];
    },
  );
}

/** Labels in a column; further lines of a finding stand below its first. */
function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(([label]) => label.length));
  return findings
    .flatMap(([label, lines]) => lines.map((line, index) => [index === 0 ? label : '', line] as const))
    .map(([label, line]) => `${label.padEnd(width)}  ${line}`)
    .join('\n');
}
