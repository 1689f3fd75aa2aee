import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Failure } from '../shell/failure.ts';
import { formatDuration } from '../text/duration.ts';
import {
  type DemoPull,
  type DemoResult,
  type DemoStage,
  mergePullRequest,
  pushToPullRequest,
} from './demo-job.ts';
import { writeDemoPage } from './demo-page.ts';
import {
  BASE_BRANCH,
  BREAKING_EDIT,
  COMMENT_EDIT,
  type DemoEdit,
  editDefault,
  GATE_EDIT,
  SEEDS_EDIT,
} from './demo-repository.ts';
import { createDemoScreen, type Tone } from './demo-screen.ts';
import { prepareStage } from './demo-stage.ts';

/*
 * `npm run demo`: real trainings by real ClearML agents, launched, watched, reported and judged by the three programs.
 * A pull request switches the gate on; the next ones are judged by it. Only ClearML's server and GitHub are doubles.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, '.cache', 'demo');
const LOG = join(CACHE, 'log.txt');

const screen = createDemoScreen(process.stdout, process.env);
const interruption = new AbortController();
let exitCodeOfSignal = 130;
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // Every one is taken, also while we clear away: an impatient second Ctrl-C must not leave half of it.
  process.on(signal, () => {
    if (interruption.signal.aborted) return;
    exitCodeOfSignal = exitCode;
    interruption.abort(new Error(`interrupted by ${signal}`));
  });
}

/** What is to be undone at the end, however it ends; the last first. */
const cleanups: Array<() => unknown> = [];

try {
  await runDemo();
} catch (error) {
  process.exitCode = interruption.signal.aborted
    ? exitCodeOfSignal
    : error instanceof Failure
      ? error.exitCode
      : 1;
  if (interruption.signal.aborted) screen.say('Interrupted: stopping what was started.');
  else if (error instanceof Failure) screen.fail(`${error.message}\n${error.remedy}`);
  else screen.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  screen.end();
  for (const cleanUp of cleanups.reverse()) await cleanUp();
}

async function runDemo(): Promise<void> {
  const beganAt = performance.now();
  screen.heading('Getting ready');
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(LOG, '');
  const stage = await prepareStage({
    checkout: ROOT,
    screen,
    signal: interruption.signal,
    record: (line) => writeFileSync(LOG, `${line}\n`, { flag: 'a' }),
    cleanups,
  });
  const acts: DemoAct[] = [];

  const gate = { number: 1, branch: 'gate-the-accuracy', title: 'Gate the test accuracy' };
  screen.heading('1. Pull request #1 switches the gate on', 'One run, and the base branch has no history.');
  acts.push(await perform(stage, gate, gate.title, GATE_EDIT));
  screen.heading('2. Its second commit asks for three seeds', 'The comment is updated in place.');
  acts.push(await perform(stage, gate, 'Train with three seeds', SEEDS_EDIT));

  screen.heading('3. Pull request #1 is merged', 'The push to main launches what its history lacks.');
  const { isReused } = await mergePullRequest(stage, gate);
  if (!isReused) throw new Error('the merged tree, which the pull request had trained, is trained again');
  screen.outcome('Its tree was trained in the pull request: nothing is trained again.', 'good');

  const worse = { number: 2, branch: 'lower-learning-rate', title: 'Lower the learning rate' };
  screen.heading('4. Pull request #2 lowers the learning rate', 'Three seeds, against the three of main.');
  acts.push(await perform(stage, worse, worse.title, editDefault('learning_rate', 0.002)));

  const harmless = { number: 3, branch: 'describe-main', title: 'Describe the main function' };
  screen.heading('5. Pull request #3 adds a line of comment', 'Another tree, so it is trained.');
  acts.push(await perform(stage, harmless, harmless.title, COMMENT_EDIT));

  const broken = { number: 4, branch: 'rename-param', title: 'Rename a param' };
  screen.heading('6. Pull request #4 renames a param, and forgets the line that uses it');
  acts.push(await perform(stage, broken, broken.title, BREAKING_EDIT));

  screen.heading(`What came of it, in ${formatDuration(performance.now() - beganAt)}`);
  showTable(acts);
  await showPlaces(acts);
}

/** A commit of a pull request, and what came of it. */
interface DemoAct extends DemoResult {
  readonly pull: DemoPull;
  readonly message: string;
}

async function perform(stage: DemoStage, pull: DemoPull, message: string, edit: DemoEdit): Promise<DemoAct> {
  const act = { ...(await pushToPullRequest(stage, pull, message, [edit])), pull, message };
  screen.comment(act.comment);
  screen.outcome(`${describeOutcome(act)}. ${describeNumbers(act)}`.trim(), toneOf(act));
  return act;
}

function isBlocked({ checkExitCode, commentExitCode }: DemoResult): boolean {
  return checkExitCode !== 0 || commentExitCode !== 0;
}

/** What the job came to, for people. */
function describeOutcome(result: DemoResult): string {
  const verdict = result.verdict === 'none' ? 'Nothing to judge by' : result.verdict;
  const words = `${verdict.charAt(0).toUpperCase()}${verdict.slice(1)}`;
  return isBlocked(result) ? `${words}: the merge is blocked` : words;
}

/** The number that was judged, and where it comes from. */
function describeNumbers({ value, baseline, printed }: DemoResult): string {
  if (value === null || printed.length === 0) return '';
  const accuracies = printed.map((accuracy) => accuracy.toFixed(4)).join(', ');
  const source =
    printed.length === 1 ? 'as the training printed it' : `the mean of the printed ${accuracies}`;
  const against = baseline === null ? '' : `; on ${BASE_BRANCH} it is ${baseline.toFixed(4)}`;
  return `Test accuracy ${value.toFixed(4)}, ${source}${against}.`;
}

function toneOf(result: DemoResult): Tone {
  if (isBlocked(result)) return 'bad';
  return result.verdict === 'pass' ? 'good' : 'dim';
}

/** The pull requests' commits, a row each. */
function showTable(acts: readonly DemoAct[]): void {
  screen.table(
    [
      'pull request',
      'runs',
      `accuracy on ${BASE_BRANCH}`,
      'here',
      'verdict',
      'exit of check',
      'of comment',
      '',
    ],
    acts.map((act) => {
      const tone = toneOf(act);
      const dash = { text: '-', tone: 'dim' } as const;
      return [
        { text: `#${act.pull.number} ${act.message}` },
        { text: String(act.runs) },
        act.baseline === null ? dash : { text: act.baseline.toFixed(4) },
        act.value === null ? dash : { text: act.value.toFixed(4) },
        { text: act.verdict, tone },
        { text: String(act.checkExitCode), tone },
        { text: String(act.commentExitCode), tone },
        { text: isBlocked(act) ? 'merge blocked' : '', tone },
      ];
    }),
  );
}

/** Leaves each pull request's comment as a file, and all of them on a page that shows them as GitHub does. */
async function showPlaces(acts: readonly DemoAct[]): Promise<void> {
  // The newest commit of each pull request: its comment is the one that stands there.
  const last = acts.filter((act, at) => acts[at + 1]?.pull.number !== act.pull.number);
  for (const { pull, comment } of last)
    writeFileSync(join(CACHE, `comment-${pull.number}.md`), `${comment}\n`);
  const page = await writeDemoPage(
    CACHE,
    last.map((act) => ({
      id: `pull-${act.pull.number}`,
      title: `#${act.pull.number} ${act.pull.title}`,
      outcome: describeOutcome(act),
      tone: toneOf(act),
      markdown: act.comment,
    })),
  );
  const numbers = last.map(({ pull }) => pull.number).join(',');
  screen.heading('Look at it');
  screen.say(`  the comments as GitHub shows them   ${pathToFileURL(page).href}`);
  screen.say(`  the same as Markdown                ${join(CACHE, `comment-{${numbers}}.md`)}`);
  screen.say(`  what the programs printed           ${LOG}`);
}
