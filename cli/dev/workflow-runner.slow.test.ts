import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseAnnotations, parseRunnerFile } from './runner-file.ts';
import { runWorkflowJob, type WorkflowRun, type WorkflowRunOptions } from './workflow-runner.ts';

const directory = { path: '' };
beforeAll(() => {
  directory.path = realpathSync(mkdtempSync(join(tmpdir(), 'clearml-ci-workspace-')));
});
afterAll(() => rmSync(directory.path, { recursive: true, force: true }));

/** Runs the steps as the only job; `job` holds further lines of it. */
function run(steps: string, options: Partial<WorkflowRunOptions> = {}, job = ''): Promise<WorkflowRun> {
  const indent = (text: string, by: number): string => text.trim().replace(/^/gm, ' '.repeat(by));
  const workflow = `on: push
env:
  FROM: workflow
  WORKFLOW: ok
jobs:
  job:
    runs-on: ubuntu-latest
${job === '' ? '' : indent(job, 4)}
    steps:
${indent(steps, 6)}
`;
  return runWorkflowJob({
    workflow,
    job: 'job',
    github: {},
    machineEnv: { PATH: process.env.PATH ?? '' },
    workspace: directory.path,
    ...options,
  });
}

const conclusionsOf = (result: WorkflowRun): string[] => result.steps.map((step) => step.conclusion);
const stdoutOf = (result: WorkflowRun): string => result.steps.map((step) => step.stdout).join('');

describe('steps', () => {
  test('run in order, and those after a failed one are skipped unless they ask for it', async () => {
    const result = await run(`
- run: echo one
- run: exit 3
- run: echo never
- if: failure()
  run: echo failed
- if: always()
  run: echo always
- if: cancelled()
  run: echo cancelled
- if: \${{ !cancelled() && env.WORKFLOW == 'ok' }}
  run: echo not cancelled`);
    expect(conclusionsOf(result)).toEqual([
      'success',
      'failure',
      'skipped',
      'success',
      'success',
      'skipped',
      'success',
    ]);
    expect(stdoutOf(result)).toBe('one\nfailed\nalways\nnot cancelled\n');
    expect([result.conclusion, result.steps[1]?.exitCode]).toEqual(['failure', 3]);
  });

  test('that may fail leave the job green, and their outcome tells', async () => {
    const result = await run(`
- id: risky
  continue-on-error: true
  run: exit 1
- run: echo "$OUTCOME $CONCLUSION"
  env:
    OUTCOME: \${{ steps.risky.outcome }}
    CONCLUSION: \${{ steps.risky.conclusion }}`);
    expect(stdoutOf(result)).toBe('failure success\n');
    expect(result.conclusion).toBe('success');
  });

  test('hand outputs and variables to the steps after them', async () => {
    const result = await run(`
- id: first
  run: |
    echo plain=1 >> "$GITHUB_OUTPUT"
    printf 'long<<END\\na=b\\nc\\nEND\\n' >> "$GITHUB_OUTPUT"
    echo LATER=set >> "$GITHUB_ENV"
    echo "# Heading" >> "$GITHUB_STEP_SUMMARY"
    echo "now: $LATER"
- if: steps.first.outputs.plain == 1 && env.LATER == 'set'
  env:
    LONG: \${{ steps.first.outputs.long }}
    NONE: x\${{ steps.first.outputs.none }}x
  run: echo "$LATER [$LONG] $NONE"`);
    expect(stdoutOf(result)).toBe('now: \nset [a=b\nc] xx\n');
    expect(result.steps[0]?.outputs).toEqual({ plain: '1', long: 'a=b\nc' });
    expect(result.steps[0]?.summary).toBe('# Heading\n');
  });

  test('get the variables of workflow, job and step, the nearest first, and nothing of this process', async () => {
    process.env.CLEARML_CI_TEST_LEAK = 'leaked';
    try {
      const result = await run(
        `
- run: echo "$FROM $WORKFLOW $JOB $STEP [$CLEARML_CI_TEST_LEAK]"
  env:
    FROM: step
    STEP: \${{ env.FROM }}
- run: echo "$FROM"`,
        { vars: { COLOR: 'red' } },
        `
env:
  FROM: job
  JOB: \${{ vars.COLOR }}`,
      );
      expect(stdoutOf(result)).toBe('step ok red job []\njob\n');
    } finally {
      delete process.env.CLEARML_CI_TEST_LEAK;
    }
  });

  test('see the contexts of the run and the variables the runner makes of them', async () => {
    const result = await run(
      `
- env:
    SECRET: \${{ secrets.KEY }}
    ABSENT: "[\${{ secrets.NOTHING }}]"
    EITHER: \${{ secrets.NOTHING || github.token }}
    VARIABLE: \${{ vars.COLOR }}
    TITLE: \${{ github.event.pull_request.title }}
  run: |
    echo "$SECRET $ABSENT $EITHER $VARIABLE $TITLE"
    echo "$GITHUB_ACTIONS $GITHUB_REPOSITORY $GITHUB_EVENT_NAME $GITHUB_JOB"
    [ "$PWD" = "$GITHUB_WORKSPACE" ]
    cat "$GITHUB_EVENT_PATH"`,
      {
        secrets: { KEY: 'k' },
        vars: { COLOR: 'red' },
        github: {
          token: 'ghs_1',
          repository: 'acme/digits',
          event_name: 'pull_request',
          event: { pull_request: { title: '$(echo hi)' } },
        },
      },
    );
    expect(result.conclusion).toBe('success');
    expect(stdoutOf(result)).toBe(
      'k [] ghs_1 red $(echo hi)\ntrue acme/digits pull_request job\n{"pull_request":{"title":"$(echo hi)"}}',
    );
  });

  test('run by the shell that the runner would take', async () => {
    const result = await run(`
- run: |
    false | true
    shopt -o pipefail || true
- shell: bash
  run: |
    shopt -o pipefail
- run: |
    false
    echo not reached`);
    expect(stdoutOf(result)).toBe('pipefail       \toff\npipefail       \ton\n');
    expect(conclusionsOf(result)).toEqual(['success', 'success', 'failure']);
  });

  test('run in their working directory', async () => {
    const result = await run(`
- working-directory: deep/er
  run: pwd`);
    expect(stdoutOf(result)).toBe(`${directory.path}/deep/er\n`);
  });

  test('that use an action are given to its stand-in, with its inputs', async () => {
    const seen: unknown[] = [];
    const result = await run(
      `
- id: tool
  uses: acme/tool@0123456789012345678901234567890123456789
  with:
    ref: \${{ github.sha }}
    flag: false
- run: echo "$MADE"
  env:
    MADE: \${{ steps.tool.outputs.made }}`,
      {
        github: { sha: 'abc' },
        actions: {
          'acme/tool': ({ inputs }) => {
            seen.push(inputs);
            return { made: 'it' };
          },
        },
      },
    );
    expect(seen).toEqual([{ ref: 'abc', flag: 'false' }]);
    expect(stdoutOf(result)).toBe('it\n');
  });

  test('end although something they started goes on', async () => {
    const result = await run(`
- run: |
    sleep 600 &
    echo started`);
    expect([stdoutOf(result), result.conclusion]).toEqual(['started\n', 'success']);
  });
});

/** Cancels as soon as the step has written the file. */
function cancelAt(file: string): { cancel: AbortSignal; onStep: () => void } {
  const controller = new AbortController();
  return {
    cancel: controller.signal,
    onStep() {
      const timer = setInterval(() => {
        if (!existsSync(join(directory.path, file))) return;
        clearInterval(timer);
        controller.abort();
      }, 5);
    },
  };
}

describe('cancelling', () => {
  test('interrupts the step, skips the rest, and runs what is for a cancelled run', async () => {
    const result = await run(
      `
- run: |
    trap 'echo interrupted; exit 0' INT
    touch first-ready
    while true; do sleep 0.02; done
- run: echo never
- if: \${{ !cancelled() }}
  run: echo never
- if: cancelled()
  run: echo cleaning`,
      cancelAt('first-ready'),
    );
    expect(conclusionsOf(result)).toEqual(['cancelled', 'skipped', 'skipped', 'success']);
    expect(stdoutOf(result)).toBe('interrupted\ncleaning\n');
    expect(result.conclusion).toBe('cancelled');
  });

  test('signals the shell only, then terminates it, then kills it with all it started', async () => {
    const heard: Readonly<Record<number, string>> = { 1: 'heard-INT', 2: 'heard-TERM' };
    // However long the shell takes to hear of a signal, if it lives.
    const untilHeard = async (ms: number, signal: AbortSignal): Promise<void> => {
      while (!signal.aborted && !existsSync(join(directory.path, heard[ms] ?? ''))) await sleep(5);
    };
    const result = await run(
      `
- run: |
    trap 'echo INT; touch heard-INT' INT
    trap 'echo TERM; touch heard-TERM' TERM
    (trap 'echo child' INT TERM; while true; do sleep 0.02; done) &
    touch second-ready
    while true; do sleep 0.02; done`,
      { ...cancelAt('second-ready'), cancelTimes: { interruptMs: 1, terminateMs: 2, sleep: untilHeard } },
    );
    expect(stdoutOf(result)).toBe('INT\nTERM\n');
    expect([result.steps[0]?.conclusion, result.steps[0]?.exitCode]).toEqual(['cancelled', null]);
  });
});

describe('the end of an action, `post`,', () => {
  function makeAction(name: string, main: string, more = ''): string {
    const action = join(directory.path, name);
    mkdirSync(action);
    const runs = `runs: { using: node24, main: main.mjs, post: post.mjs${more} }`;
    writeFileSync(join(action, 'action.yml'), `name: ${name}\ndescription: one\n${runs}\n`);
    writeFileSync(join(action, 'main.mjs'), main);
    writeFileSync(
      join(action, 'post.mjs'),
      `console.log('${name} ends', process.env.STATE_key ?? 'no state');`,
    );
    return action;
  }

  test('runs after all steps, the last first, with what was saved, also after a failure', async () => {
    const save =
      "import { appendFileSync } from 'node:fs'; appendFileSync(process.env.GITHUB_STATE, 'key=kept\\n');";
    const actions = {
      'acme/first': makeAction('first', `${save} process.exit(1);`),
      'acme/second': makeAction('second', '', ", post-if: 'failure()'"),
      'acme/third': makeAction('third', '', ", post-if: 'success()'"),
      'acme/never': makeAction('never', ''),
    };
    const steps = `
- uses: acme/first@v1
- { uses: acme/second@v1, if: always() }
- { uses: acme/third@v1, if: always() }
- uses: acme/never@v1
- { run: echo last, if: always() }`;
    const result = await run(steps, { actions });
    expect(stdoutOf(result)).toBe('last\nsecond ends no state\nfirst ends kept\n');
    expect(result.conclusion).toBe('failure');
  });
});

describe('what the runner does not know, it refuses', () => {
  test.each([
    ['a matrix', '- run: x', 'strategy: { matrix: { a: [1] } }', /does not know `strategy`/],
    ['a container', '- run: x', 'container: node:24', /does not know `container`/],
    ['a time-out of a step', '- { run: x, timeout-minutes: 1 }', '', /does not know `timeout-minutes`/],
    ['another shell', '- { run: x, shell: python }', '', /does not know the shell/],
    ['an action without a stand-in', '- uses: acme/other@v1', '', /No stand-in was given for acme\/other@v1/],
    ['a function that needs files', "- { run: x, if: hashFiles('a') != '' }", '', /hashFiles/],
    ['a workflow that GitHub refuses', '- { run: x, unknown: 1 }', '', /invalid: .*unknown/],
  ])('%s', async (_title, steps, job, message) => {
    await expect(run(steps, {}, job)).rejects.toThrow(message);
  });
});

describe('a file of outputs', () => {
  test.each([
    ['a line', 'a=b=c\n', { a: 'b=c' }],
    ['a value with the sign of a delimiter', 'a=b<<c\n', { a: 'b<<c' }],
    ['lines up to a delimiter', 'a<<X\n1\n\n2\nX\nb=2\n', { a: '1\n\n2', b: '2' }],
    ['no lines up to a delimiter', 'a<<X\nX\n', { a: '' }],
    ['nothing', '', {}],
  ])('is read: %s', (_title, text, values) => {
    expect(parseRunnerFile(text)).toEqual(values);
  });

  test.each([
    ['no name', '=b', /Name must not be empty/],
    ['no delimiter', 'a<<', /must not be empty/],
    ['a delimiter that never comes', 'a<<X\n1', /Matching delimiter not found 'X'/],
    ['neither sign', 'abc', /Invalid format 'abc'/],
  ])('is refused: %s', (_title, text, message) => {
    expect(() => parseRunnerFile(text)).toThrow(message);
  });
});

test('annotations are read as the runner does, none while commands are stopped', () => {
  const output = [
    'text ::error::in the middle is none',
    '  ::error title=A%2C b,file=x::one%0Atwo %2525',
    '::notice::',
    '::stop-commands::token',
    '::warning::hidden',
    '::token::',
    '::warning::seen::too',
    '::debug::no annotation',
  ].join('\n');
  expect(parseAnnotations(output)).toEqual([
    { level: 'error', title: 'A, b', message: 'one\ntwo %25' },
    { level: 'notice', title: undefined, message: '' },
    { level: 'warning', title: undefined, message: 'seen::too' },
  ]);
});
