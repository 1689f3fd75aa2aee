import { createClearmlClient } from '../clearml/client.ts';
import { DEFAULT_ALPHA } from '../gate/data.ts';
import { createGithubClient } from '../github/client.ts';
import type { CommentBoard, Placement, PullRequestComment } from '../github/comments.ts';
import {
  type GithubRun,
  isRepositoryName,
  namesPullRequest,
  parsePullRequestNumber,
  readEventFile,
  readGithubRun,
} from '../github/event.ts';
import { locateConfigFile, parseConfigText, readConfigFile } from '../shell/config-file.ts';
import { type Environment, isActions, readClearmlAccess } from '../shell/environment.ts';
import { checkAll, EXIT_CODES, type ExitCode, Failure, settle, takeSettled } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { createHttp } from '../shell/http.ts';
import { Command, formatHelpEnd, readFlags, runProgram, type Session } from '../shell/program.ts';
import type { World } from '../shell/world.ts';
import { DEFAULT_SEED_PARAM } from '../training/names.ts';
import { formatTaskUrl } from '../training/task.ts';
import { readTaskIds, requireTaskIds } from '../training/task-ids.ts';
import { DEFAULT_BASELINE, listBaselineRules, parseBaseline } from './baseline/baseline.ts';
import { loadDownsample } from './drawing/curve.ts';
import { hasGate, listGateQuestions, prepareGateInput } from './gate-input.ts';
import { findDecisive, listNamedMetrics, rankMetrics } from './metrics.ts';
import type { Report } from './report.ts';
import type { ReportedTask } from './reported-task.ts';
import { createReportServer } from './server.ts';
import {
  completeSources,
  type ExpectedCode,
  gatherSources,
  MANY_METRICS,
  type ReportSources,
  type SourceOptions,
} from './sources.ts';

/** The comment gives up within a minute: so long it asks, and so long it tries to post what it has learnt. */
const ASK_MS = 40_000;
const POST_MS = 47_000;
/** Node loads a package in one go: before that, a moment for the first request to leave. */
const ASK_FIRST_MS = 10;

interface Flags {
  readonly pr?: string;
  readonly repo?: string;
  readonly baseline?: string;
  readonly template?: string;
  readonly commentKey?: string;
  readonly commentAuthor?: string;
  readonly gate: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly config?: string;
}

/** The arguments and options. */
export function createCommand(): Command {
  return new Command('create-stats-comment')
    .description(
      'Reports ClearML tasks, in whatever state, as one comment on a pull request and as the job summary.',
    )
    .argument('<task-id...>', 'tasks to report; one argument may hold several ids separated by blanks')
    .option('--pr <number>', 'the pull request (default: PR_NUMBER, else the event’s)')
    .option('--repo <owner/name>', 'its repository (default: GITHUB_REPOSITORY)')
    .option(
      '--baseline <id|branch:NAME|tag:NAME|none>',
      'what to compare with (default: the pull request’s base branch)',
    )
    .option('--template <file>', 'template of the comment (default: templates/comment.md of this package)')
    .option('--comment-key <text>', 'tells this comment from others (default: workflow, job and task name)')
    .option('--comment-author <login>', 'whose comments the token writes, where GitHub does not say')
    .option('--no-gate', 'judge, but never object: exit 0')
    .option('--dry-run', 'print the comment; post nothing, write no output and no summary')
    .option('--json', 'print the whole report as one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion())
    .addHelpText(
      'after',
      formatHelpEnd([
        'create-stats-comment 1f7b0c3d5e9a4c6b8d2f1a3b5c7d9e0f --repo acme/digits --pr 7',
        'create-stats-comment "$TASK_IDS" --no-gate',
        'create-stats-comment "$TASK_ID" --dry-run --json',
      ]),
    );
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const { env, cwd, clock, voice, redact, random } = session;
  const flags = readFlags<Flags>(command);
  const taskIds = readTaskIds(command.args);
  requireTaskIds(taskIds);
  const isDryRun = flags.dryRun === true;
  const [settings, event] = await Promise.all([
    settle(readConfigFile(cwd, flags.config, voice.say)),
    settle(readEventFile(env)),
  ]);
  const [access, github, , baseline, config] = checkAll(
    () => readClearmlAccess(env),
    () => readGithubRun(env, takeSettled(event)),
    () => checkTarget(flags, env, 'failure' in event || namesPullRequest(env, event.value)),
    () => (flags.baseline === undefined ? undefined : parseBaseline(flags.baseline)),
    () => takeSettled(settings),
  );
  const baselineRules = listBaselineRules(baseline ?? config.baseline ?? DEFAULT_BASELINE);
  const target = readTarget(flags, github, env);
  // A mistake in somebody's own template is told before anything is asked.
  const ownTemplates = flags.template === undefined ? undefined : await readTemplates(cwd, flags.template);
  const beganAtMs = clock.now();
  let giveUpAtMs = beganAtMs + ASK_MS;
  const giveUpAt = () => giveUpAtMs;
  const end = new AbortController();
  const signal = AbortSignal.any([session.interruption, end.signal]);
  const onRetry = (reason: string) => voice.say(`${reason}; trying again`);

  const http = createHttp(env, clock);
  const clearml = createClearmlClient({
    access,
    http,
    clock,
    redact,
    random,
    giveUpAt,
    onRetry,
  });
  try {
    const { pullRequest, token } = target;
    const number = pullRequest?.number ?? 0;
    // ClearML is asked first, then GitHub: what is loaded while answers are under way costs no time.
    const isAsked = clock.sleep(ASK_FIRST_MS);
    const client =
      token === undefined || pullRequest === undefined
        ? undefined
        : isAsked.then(() =>
            createGithubClient({
              apiUrl: github.apiUrl,
              token,
              repository: pullRequest.repository,
              http,
              clock,
              redact,
              random,
              version: readPackageVersion(),
              giveUpAt,
              commentAuthor: flags.commentAuthor,
              signal,
              onRetry,
            }),
          );
    const board = client?.then((opened) => opened.openBoard(number));
    const areAllAsked = client?.then(() => clock.sleep(ASK_FIRST_MS)) ?? isAsked;
    // What GitHub refuses must not keep the report from the job summary: its failures wait until that is written.
    const rules = config.metrics ?? [];
    const rank = rememberLast((tasks: readonly ReportedTask[]) => rankMetrics(tasks, rules));
    const seedParam = config['seed-param'] ?? DEFAULT_SEED_PARAM;
    const settingsPath = locateConfigFile(cwd, flags.config);
    const sourceOptions: SourceOptions = {
      taskIds,
      baselineRules,
      seedParam,
      expected: readExpectedCode(github, pullRequest),
      pullRequest: pullRequest?.number,
      hasPaths: config.paths !== undefined,
      missedMetrics: listNamedMetrics(rules),
      rankMetrics: (tasks) => rank(tasks).map(({ metric }) => metric),
      gate: listGateQuestions(rules),
      settingsPath,
    };
    const reportServer = createReportServer(clearml, signal);
    const [writing, templates, downsample, gate, gathered, existing] = await Promise.all([
      areAllAsked.then(loadWriting),
      ownTemplates ?? areAllAsked.then(() => readTemplates(cwd, undefined)),
      areAllAsked.then(loadDownsample),
      hasGate(rules) ? areAllAsked.then(() => import('../gate/judge.ts')) : undefined,
      gatherSources(sourceOptions, { clearml: reportServer, github: client }),
      isDryRun || board === undefined ? undefined : settle(board.then(listComments)),
    ]);
    const { buildReport, describeSettings, renderComment, renderSummary, writer } = writing;
    const { defaultCommentKey, formatMarker, placeComment, writeOutputs, writeSummary } = writing;
    const alpha = config.alpha ?? DEFAULT_ALPHA;
    const { lack, whole } = completeSources(gathered, sourceOptions, reportServer);
    // It is waited for further down; until then nobody hears what goes wrong.
    whole.catch(() => undefined);

    const key =
      flags.commentKey ??
      defaultCommentKey({
        workflow: github.workflow,
        job: github.job,
        taskName: gathered.tasks[0]?.name ?? '',
      });
    const renderer = { writer, downsample };
    const settings = await describeSettings(gathered, {
      path: settingsPath,
      own: config,
      parse: parseConfigText,
      repository: pullRequest?.repository,
      serverUrl: github.serverUrl,
      isBaselineGiven: flags.baseline !== undefined,
    });
    const write = (sources: ReportSources) => {
      const result =
        gate === undefined
          ? undefined
          : gate.judgeGate(prepareGateInput(sources, { rules, alpha, baselineRules, seedParam }));
      const report = buildReport(sources, {
        rank,
        rules,
        gate: result === undefined ? undefined : { alpha, result },
        settings,
        pullRequest,
        githubUrl: github.serverUrl,
        runId: github.runId,
        seedParam,
        webHost: access.webHost,
        urlOf: (task) => formatTaskUrl(access.webHost, task, clearml.apiVersion),
        nowMs: clock.now(),
      });
      const text = redact(renderComment(report, key, templates.comment, renderer));
      return {
        report,
        text,
        exitCode: result !== undefined && flags.gate ? result.exitCode : EXIT_CODES.done,
      };
    };
    const written = whole.then(write);
    const place = async (): Promise<Placement> => {
      if (existing === undefined || board === undefined)
        throw new Error('nobody said where the comment goes');
      if ('failure' in existing) throw existing.failure;
      if (gathered.failure !== undefined) throw gathered.failure;
      return placeComment(await board, {
        // What stands for a secret in the text does in its marker too.
        marker: redact(formatMarker(key)),
        text: written.then(({ text }) => {
          giveUpAtMs = beganAtMs + POST_MS;
          return text;
        }),
        // A new comment need not wait for the curves: it gets them while the others are looked through once more.
        draft:
          lack === 'curves' && gathered.tasks.every(({ metrics }) => metrics.length <= MANY_METRICS)
            ? () => write(gathered).text
            : undefined,
        existing: existing.value,
        clock,
        giveUpAtMs: beganAtMs + POST_MS,
        signal,
      });
    };
    const placing = isDryRun ? undefined : place();
    placing?.catch(() => undefined);
    const { report, text, exitCode } = await written;
    // With thousands of metrics a document of some MB: only for whoever wants it.
    const toResult = (short: string) => (flags.json === true ? JSON.stringify(report, undefined, 2) : short);
    if (placing === undefined) {
      voice.result(toResult(text));
      if (gathered.failure !== undefined) throw gathered.failure;
      return exitCode;
    }

    await writeSummary(session, renderSummary(report, templates.summary, renderer));
    const outputs = { verdict: report.verdict, metrics: formatMetricsOutput(report) };
    let placement: Placement;
    try {
      placement = await placing;
    } catch (error) {
      // What is known is not lost with the comment.
      await writeOutputs(session, outputs);
      throw error;
    }
    const { comment, isNew, lateAuthor } = placement;
    voice.say(`${isNew ? 'Posted' : 'Updated'} the comment on pull request ${number}`);
    if (lateAuthor !== undefined) {
      voice.warn(
        `only by writing another comment it was found out that the token writes as ${lateAuthor}: give --comment-author '${lateAuthor}', and the one that is there is updated at once`,
      );
    }
    await writeOutputs(session, { 'comment-url': comment.url, 'comment-id': String(comment.id), ...outputs });
    voice.result(toResult(comment.url));
    return exitCode;
  } finally {
    // Where one question failed others may still be asked.
    end.abort();
    await http.close();
  }
}

/** The comments there are. Where one may be ours, who we are is asked now: other answers are still under way. */
async function listComments(board: CommentBoard): Promise<readonly PullRequestComment[]> {
  const comments = await board.listComments();
  const { hasAnyMarker } = await import('../github/comments.ts');
  if (comments.some(({ body }) => hasAnyMarker(body))) await board.readAuthor();
  return comments;
}

/** What makes a comment of the answers and puts it there: loaded while they are under way. */
async function loadWriting() {
  const [settings, report, markdown, marker, placement, files, { loadMarkdownWriter }] = await Promise.all([
    import('./gate-settings.ts'),
    import('./report.ts'),
    import('./markdown.ts'),
    import('../github/comments.ts'),
    import('../github/comments.ts'),
    import('../github/runner-files.ts'),
    import('../text/markdown.ts'),
  ]);
  const writer = await loadMarkdownWriter();
  return { ...settings, ...report, ...markdown, ...marker, ...placement, ...files, writer };
}

/** The comment's and the job summary's. */
async function readTemplates(cwd: string, path: string | undefined) {
  const [{ PLACEHOLDERS, PLACEHOLDER_FUNCTIONS }, { compileTemplate }, files] = await Promise.all([
    import('./markdown.ts'),
    import('./template.ts'),
    import('./template-file.ts'),
  ]);
  const known = { names: PLACEHOLDERS, functions: PLACEHOLDER_FUNCTIONS };
  const [comment, summary] = await Promise.all([
    files.readCommentTemplate(cwd, path),
    files.readSummaryTemplate(),
  ]);
  return { comment: await compileTemplate(comment, known), summary: await compileTemplate(summary, known) };
}

interface Target {
  readonly token: string | undefined;
  readonly pullRequest: { readonly repository: string; readonly number: number } | undefined;
}

/** Where the comment goes. */
function readTarget(flags: Flags, github: GithubRun, env: Environment): Target {
  const number = flags.pr === undefined ? github.pullRequest : parsePullRequestNumber(flags.pr);
  const repository = flags.repo ?? github.repository;
  return {
    token: readToken(env),
    pullRequest: repository === undefined || number === undefined ? undefined : { repository, number },
  };
}

function readToken(env: Environment): string | undefined {
  return env.GH_TOKEN ?? env.GITHUB_TOKEN;
}

/**
 * Whether the options name well where the comment goes, and whether anything does. A dry run needs none of it.
 *
 * @throws Failure (usage) naming everything that is missing or malformed, but for the variables' form
 */
function checkTarget(flags: Flags, env: Environment, isPullRequestNamed: boolean): void {
  checkAll(
    () => {
      if (flags.pr === undefined || parsePullRequestNumber(flags.pr) !== undefined) return;
      throw new Failure('--pr is not the number of a pull request', {
        exitCode: EXIT_CODES.usage,
        remedy: 'Give a whole number, as in --pr 7.',
      });
    },
    () => {
      if (flags.repo === undefined || isRepositoryName(flags.repo)) return;
      throw new Failure('--repo is not of the form owner/name', {
        exitCode: EXIT_CODES.usage,
        remedy: 'Give it as in --repo acme/digits.',
      });
    },
    () => {
      const hasToken = readToken(env) !== undefined;
      const missing = [
        ...(hasToken ? [] : ['GH_TOKEN (or GITHUB_TOKEN) is not set']),
        ...((flags.repo ?? env.GITHUB_REPOSITORY) === undefined
          ? ['GITHUB_REPOSITORY is not set (or give --repo)']
          : []),
        ...(flags.pr === undefined && !isPullRequestNamed
          ? ['PR_NUMBER is not set (or give --pr), and no event names a pull request']
          : []),
      ];
      if (missing.length === 0 || flags.dryRun === true) return;
      throw new Failure(missing.join('; '), {
        exitCode: EXIT_CODES.usage,
        remedy: `${explainSetting(env, missing.length, !hasToken)} Or add --dry-run, which posts nothing.`,
      });
    },
  );
}

function explainSetting(env: Environment, missing: number, lacksToken: boolean): string {
  const what = missing === 1 ? 'it' : 'them';
  if (!isActions(env))
    return `Put ${what} into the environment or into a .env file here (.env.example shows how).`;
  return lacksToken
    ? 'In a workflow pass the job’s own token to this step: GH_TOKEN under `env`.'
    : `In a workflow give ${what} to this step under \`env\`.`;
}

/** Base branch and head as the event names them: GitHub need not be asked first. Only of the pull request that is meant. */
function readExpectedCode(github: GithubRun, target: Target['pullRequest']): ExpectedCode | undefined {
  const { baseBranch, code, eventName, eventPullRequest, repository, serverUrl } = github;
  if (eventPullRequest !== target?.number || repository !== target?.repository) return undefined;
  if (baseBranch === undefined) return undefined;
  if (code === undefined || code instanceof Failure) return undefined;
  if (eventName?.startsWith('pull_request') !== true) return undefined;
  const isOwnBranch = identifyRepository(code.cloneUrl) === identifyRepository(`${serverUrl}/${repository}`);
  return { baseBranch, headCommit: code.commit, headBranch: isOwnBranch ? code.branch : undefined };
}

/** Does not compute twice what it was asked last: thousands of names take their time. */
function rememberLast<A, R>(compute: (argument: A) => R): (argument: A) => R {
  let last: { readonly argument: A; readonly result: R } | undefined;
  return (argument) => {
    if (last?.argument !== argument) last = { argument, result: compute(argument) };
    return last.result;
  };
}

/** A job's outputs hold 1 MB in all; later steps want the metrics that count. */
const MAX_METRICS_IN_OUTPUT = 1000;

function formatMetricsOutput({ metrics, gate }: Report): string {
  const judgements = new Map(gate?.metrics.map((judgement) => [judgement.metric, judgement]));
  return JSON.stringify(
    metrics.slice(0, MAX_METRICS_IN_OUTPUT).map(({ metric, value, baseline, change, verdict }) => {
      const judgement = judgements.get(metric);
      const decisive = judgement === undefined ? undefined : findDecisive(judgement);
      return {
        metric,
        value,
        baseline: decisive?.base ?? baseline,
        change: decisive?.change ?? change,
        verdict,
      };
    }),
  );
}

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}
