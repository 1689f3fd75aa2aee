import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { readFailureConsoles, toEvidence } from '../dev/failure-consoles.ts';
import { type Cause, explainEnd, isAgentShutDown, recogniseFailure } from './cause/cause.ts';
import { CAUSE_TABLE, type Evidence } from './cause/cause-table.ts';
import { formatCause } from './cause/cause-words.ts';
import { findTraceback } from './cause/traceback.ts';
import type { EndReason } from './task-life.ts';

const FIXTURES = new URL('fixtures/causes/', import.meta.url);

/** What a real agent left behind (dev/record-causes.ts). */
function readEvidence(name: string): Evidence {
  const { statusReason, statusMessage, log } = JSON.parse(
    readFileSync(new URL(`${name}.json`, FIXTURES), 'utf8'),
  );
  return { statusReason, statusMessage, log, isLogComplete: true, workingDir: '.' };
}

/** By which row each recorded failure is recognised, and as what. */
const EXPECTED: Readonly<Record<string, readonly [row: string, cause: string]>> = {
  'missing-commit': [
    'missing-commit',
    `setup: the agent did not find commit ${'f'.repeat(40)} in the repository`,
  ],
  'clone-failed': [
    'clone-failed',
    "setup: the agent could not clone the repository: fatal: '/nowhere/digits.git' does not appear to be a git repository",
  ],
  'missing-requirement': [
    'missing-requirement',
    'setup: the agent could not install the requirements: no package matches no-such-package-of-clearml-ci==9.9',
  ],
  'missing-entry-point': ['missing-entry-point', 'setup: the program nothing.py is not in the repository'],
  'missing-working-dir': ['missing-working-dir', 'setup: the folder no/such/folder is not in the repository'],
  'bad-diff': [
    'bad-diff',
    'setup: the agent could not apply the uncommitted changes: patch failed: gone.py:1',
  ],
  'docker-failed': [
    'docker-failed',
    'setup: docker could not start the image: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
  ],
  'kubernetes-image': [
    'kubernetes-image',
    'setup: Kubernetes could not run the pod: ImagePullBackOff (Back-off pulling image "acme/train:9")',
  ],
  'kubernetes-refused': [
    'kubernetes-refused',
    'setup: Kubernetes refused the pod: Error from server (Forbidden): pods "clearml-id" is forbidden: exceeded quota',
  ],
  'kubernetes-pod-deleted': ['kubernetes-pod-deleted', 'worker-lost: Pod deleted (not pending or running)'],
  exception: ['exception', 'training: ValueError: bad learning rate 3 (lib/model.py:3)'],
  'exception-in-library': [
    'exception',
    'training: json.decoder.JSONDecodeError: Expecting value: line 1 column 7 (char 6) (exception-in-library.py:6)',
  ],
  'chained-exception': [
    'exception',
    'training: RuntimeError: the data set is missing (chained-exception.py:8)',
  ],
  'missing-module': [
    'exception',
    "training: ModuleNotFoundError: No module named 'no_such_module' (missing-module.py:3)",
  ],
  'syntax-error': ['exception', "training: SyntaxError: '(' was never closed (syntax-error.py:3)"],
  'memory-error': [
    'memory-error',
    'out-of-memory: numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.00 PiB for an array with shape (268435456, 1048576) and data type float64 (memory-error.py:5)',
  ],
  'out-of-memory': ['killed', 'out-of-memory: the training was killed (SIGKILL), often for lack of memory'],
  killed: ['killed', 'out-of-memory: the training was killed (SIGKILL), often for lack of memory'],
  'argument-error': [
    'argument-error',
    "training: argument-error.py: error: argument --epochs: invalid int value: 'abc'",
  ],
  crash: ['crash', 'training: the training crashed (SIGSEGV, segmentation fault)'],
  abort: ['crash', 'training: the training crashed (SIGABRT)'],
  'exit-code': ['exit-code', 'training: the training ended with exit code 3'],
  'exit-after-caught': ['exit-code', 'training: the training ended with exit code 4'],
};

/** Ends that are known by the status alone. */
const BY_STATUS: Readonly<Record<string, readonly [end: EndReason, cause: string]>> = {
  'agent-shut-down': [
    'worker-lost',
    'worker-lost: the worker was lost: its agent was shut down while it ran the task',
  ],
  stopped: ['stopped', 'stopped: the task was stopped by somebody'],
  'worker-lost': [
    'worker-lost',
    'worker-lost: the worker was lost: the server did not hear from it for too long and stopped the task',
  ],
};

describe('a real failure is recognised for what it was:', () => {
  test.each(Object.entries(EXPECTED))('%s', (name, [row, cause]) => {
    const evidence = readEvidence(name);
    expect(CAUSE_TABLE.find(({ recognise }) => recognise(evidence) !== undefined)?.name).toBe(row);
    expect(formatCause(recogniseFailure(evidence))).toBe(cause);
  });

  test.each(Object.entries(BY_STATUS))('%s', (name, [end, cause]) => {
    expect(formatCause(explainEnd(end, readEvidence(name)) as Cause)).toBe(cause);
  });

  test('every row of the table has a real log or a library’s console, and every log is looked at', () => {
    const consoles = readFailureConsoles().map((shown) => {
      const evidence = toEvidence(shown);
      return CAUSE_TABLE.find(({ recognise }) => recognise(evidence) !== undefined)?.name;
    });
    const shown = new Set([...Object.values(EXPECTED).map(([row]) => row), ...consoles]);
    expect([...shown].sort()).toEqual(CAUSE_TABLE.map(({ name }) => name).sort());
    const recorded = readdirSync(FIXTURES).map((file) => file.replace(/\.json$/, ''));
    expect(recorded.sort()).toEqual([...Object.keys(EXPECTED), ...Object.keys(BY_STATUS)].sort());
  });

  test('every cause says what to do next', () => {
    for (const name of Object.keys(EXPECTED)) {
      expect(recogniseFailure(readEvidence(name)).advice).toMatch(/\S.*\.$/);
    }
  });
});

test('a failure that shows nothing is told in ClearML’s own words', () => {
  const nothing: Evidence = {
    statusReason: '',
    statusMessage: '',
    log: [],
    isLogComplete: true,
    workingDir: '.',
  };
  expect(formatCause(recogniseFailure({ ...nothing, statusReason: 'marked by\n::hand::' }))).toBe(
    'unknown: marked by ::hand::',
  );
  expect(formatCause(recogniseFailure(nothing))).toBe('unknown: ClearML gives no reason');
});

test('an exit code before the training has begun is told apart from its own', () => {
  const { log, ...evidence } = readEvidence('docker-failed');
  const silent = { ...evidence, log: log.filter((line) => !line.startsWith('docker:')) };
  expect(formatCause(recogniseFailure(silent))).toBe(
    'setup: the agent could not prepare the training: exit code 125',
  );
  const other = readEvidence('bad-diff').log.map((line) =>
    line.replace('applying git diff', 'at something else'),
  );
  expect(recogniseFailure({ ...evidence, log: other }).message).toBe(
    'the agent could not prepare the training: Failed at something else:',
  );
  expect(recogniseFailure({ ...silent, isLogComplete: false }).kind).toBe('training');
});

test('who stopped a task is named where ClearML does', () => {
  const evidence = { ...readEvidence('stopped'), statusReason: '', statusMessage: 'Stopped by Ada' };
  expect(explainEnd('stopped', evidence)?.message).toBe('the task was stopped by Ada');
  expect(explainEnd('stopped', { ...evidence, statusReason: 'superseded by run 5' })?.message).toBe(
    'the task was stopped by Ada (superseded by run 5)',
  );
});

test('an agent that was shut down is told from a stop by a person, in the last run of the task', () => {
  const shutDown = readEvidence('agent-shut-down');
  expect(isAgentShutDown(shutDown)).toBe(true);
  expect(isAgentShutDown(readEvidence('stopped'))).toBe(false);
  expect(isAgentShutDown(readEvidence('worker-lost'))).toBe(false);
  expect(isAgentShutDown({ ...shutDown, statusReason: 'superseded' })).toBe(false);
  const again = [...shutDown.log, ...readEvidence('stopped').log];
  expect(isAgentShutDown({ ...shutDown, log: again })).toBe(false);
});

test('a task that succeeded has no cause', () => {
  expect(explainEnd('succeeded', readEvidence('killed'))).toBeUndefined();
});

describe('the innermost frame of a traceback that lies in the repository:', () => {
  const trace = (...frames: string[]) => [
    'Traceback (most recent call last):',
    ...frames.flatMap((frame) => [`  File ${frame}, in f`, '    code']),
    'ValueError: x',
  ];
  const inside = '"/root/.clearml/venvs-builds/3.11/task_repository/digits.git';

  test.each<[string, string[], string, string | undefined]>([
    ['in a container', [`${inside}/src/train.py", line 7`], '.', 'src/train.py:7'],
    [
      'under frames of libraries',
      [
        `${inside}/train.py", line 7`,
        '"/root/.clearml/venvs-builds/3.11/lib/python3.11/site-packages/torch/x.py", line 9',
        '"<frozen importlib._bootstrap>", line 1',
      ],
      '.',
      'train.py:7',
    ],
    [
      'above frames of an environment inside the checkout',
      [`${inside}/train.py", line 7`, `${inside}/.venv/lib/python3.11/site-packages/x.py", line 9`],
      '.',
      'train.py:7',
    ],
    ['of a relative path', ['"train.py", line 7'], 'models/digits', 'models/digits/train.py:7'],
    ['of a relative path that leads out', ['"../../train.py", line 7'], 'models', undefined],
    ['in no repository', ['"/home/ada/train.py", line 7'], '.', undefined],
  ])('%s', (_name, frames, workingDir, place) => {
    const found = findTraceback(trace(...frames), workingDir);
    expect(found?.exception).toBe('ValueError: x');
    expect(found?.place && `${found.place.file}:${found.place.line}`).toBe(place);
  });

  test.each<[string, string[]]>([
    ['before the colon', ['    code', 'ValueError', ': x']],
    ['after the colon', ['    code', 'ValueError: ', 'x']],
    ['on both sides of the colon', ['    code', 'ValueError', ': ', 'x']],
    ['in the indentation of a line of code', ['    ', 'code', 'ValueError: x']],
  ])('is found, and the exception whole, where the agent cut it %s', (_name, lines) => {
    const frame = `  File ${inside}/train.py", line 7, in f`;
    const log = ['Traceback (most recent call last):', frame, ...lines, 'Process failed, exit code 1'];
    expect(findTraceback(log, '.')).toMatchObject({
      exception: 'ValueError: x',
      place: { file: 'train.py', line: 7 },
    });
  });

  test.each([
    [['subprocess.', 'CalledProcessError: x']],
    [['subprocess', '.CalledProcessError: x']],
    [['subprocess', '.', 'CalledProcessError', ': ', 'x']],
  ])('and its name whole: %j', (pieces) => {
    const log = [
      'Traceback (most recent call last):',
      `  File ${inside}/train.py", line 7, in f`,
      '    code',
      ...pieces,
    ];
    expect(findTraceback(log, '.')?.exception).toBe('subprocess.CalledProcessError: x');
  });

  test('an exception without a message is its name alone', () => {
    const log = ['Traceback (most recent call last):', '    code', 'KeyboardInterrupt', 'Process failed'];
    expect(findTraceback(log, '.')?.exception).toBe('KeyboardInterrupt');
  });

  test('of an exception group is that of its last exception', () => {
    const found = findTraceback(
      [
        '  + Exception Group Traceback (most recent call last):',
        `  |   File ${inside}/train.py", line 3, in <module>`,
        '  |     raise ExceptionGroup("several", errors)',
        '  | ExceptionGroup: several (1 sub-exception)',
        '  +-+---------------- 1 ----------------',
        '    | Traceback (most recent call last):',
        `    |   File ${inside}/train.py", line 9, in load`,
        '    |     raise KeyError(name)',
        "    | KeyError: 'digits'",
        '    +------------------------------------',
      ],
      '.',
    );
    expect(found).toMatchObject({ exception: "KeyError: 'digits'", place: { file: 'train.py', line: 9 } });
  });
});

test('a lock that git left where a task was ended in the middle of a clone is no matter of credentials', () => {
  const lock = '/root/.clearml/venvs-builds/task_repository/digits.git/.git/index.lock';
  const log = [
    'Using cached repository in "/root/.clearml/vcs-cache/digits.git.94aafb5a2764cbc4882bcf9f3915fc18/digits.git"',
    'pulling git',
    'pulling git completed',
    `fatal: Unable to create '${lock}': File exists.`,
    '',
    'Another git process seems to be running in this repository, e.g.',
    "Repository cloning failed: Command '['git', 'checkout', '311c07c5', '--force']' returned non-zero exit status 128.",
    'clearml_agent: ERROR: Failed cloning repository. ',
  ];
  const cause = recogniseFailure(toEvidence({ exitCode: 1, log }));
  expect(formatCause(cause)).toContain(`could not clone the repository: fatal: Unable to create '${lock}'`);
  expect(cause.advice).toContain('~/.clearml/vcs-cache');
  expect(cause.advice).not.toContain('credentials');
});

test('the queue time-out’s advice names the queue, where it is known', () => {
  const evidence = readEvidence('killed');
  const advise = (queue: string | undefined) => explainEnd('queue-timeout', { ...evidence, queue })?.advice;
  expect(advise('big gpu')).toBe(
    "Check that an agent serves the queue: clearml-agent daemon --queue 'big gpu'.",
  );
  expect(advise(undefined)).toBe('Check that an agent serves the queue.');
});
