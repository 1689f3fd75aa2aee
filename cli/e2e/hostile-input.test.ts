import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { main as launch } from '../launch-training-task.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

let sandbox: Sandbox;
let driver: ClearmlDriver;
let folder: string;
let taskId: string;

beforeAll(async () => {
  sandbox = await startSandbox({
    github: {
      requestsPerHour: 1_000_000,
      pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }],
    },
  });
  driver = createClearmlDriver(sandbox.clearml.env);
  folder = mkdtempSync(join(tmpdir(), 'hostile-input-'));
  taskId = await driver.createTask({ name: 'a task' });
  await driver.call('tasks.enqueue', { task: taskId, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(taskId);
  await driver.logLines(taskId, ['one', 'two']);
  await driver.reportScalars(taskId, 'test_accuracy', 'accuracy', [0.5, 0.75]);
  await driver.completeTask(taskId);
});

afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Texts that mean something to somebody: the runner, a shell, YAML, Markdown, a regular expression, a path. */
const hostileText = fc.oneof(
  fc.constantFrom(
    '::error::x',
    '::set-output name=task-id::x',
    'a\n::add-mask::x',
    '##[group]x',
    '$(touch x)',
    '`x`',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's expression, not JavaScript's
    '${{ secrets.X }}',
    '../../etc/passwd',
    '/dev/zero',
    '.*',
    '(',
    '-x',
    '--',
    '',
    ' ',
    '\u0000',
    '\u202e',
    '@octocat',
    '<img src=x>',
    '[x](javascript:x)',
    'a=b=c',
    '=',
    '/',
    'Args/',
    '__proto__',
    'constructor',
    'NaN',
    '1e999',
    'null',
    '{}',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
);

const OPTIONS = [
  '--project',
  '--task-name',
  '--queue',
  '--entry-point',
  '--working-dir',
  '--requirements',
  '--docker-image',
  '--docker-args',
  '--param',
  '--tag',
  '--seeds',
  '--config',
  '--no-reuse',
  '--supersede',
  '--require-worker',
  '--diff',
  '--json',
  '--no-such-option',
];

const VARIABLES = [
  'PR_NUMBER',
  'GITHUB_REPOSITORY',
  'GITHUB_SHA',
  'GITHUB_REF',
  'GITHUB_RUN_ID',
  'GITHUB_RUN_ATTEMPT',
  'GITHUB_ACTOR',
  'GITHUB_EVENT_NAME',
  'GITHUB_SERVER_URL',
  'GITHUB_API_URL',
  'CLEARML_WEB_HOST',
  'HTTP_PROXY',
  'NO_PROXY',
];

/** No bug of ours, no stack, no hang, and not a line that the runner would obey but our own annotations. */
function expectDecent(
  run: { exitCode: number | null; stdout: string; stderr: string },
  codes: readonly number[],
): void {
  expect({ ...run, isExpected: codes.includes(run.exitCode ?? -1) }).toMatchObject({ isExpected: true });
  expect(run.stderr).not.toMatch(/a bug of ours|\n\s+at .*\.ts:\d+/);
  const lines = `${run.stdout}\n${run.stderr}`.split(/\r\n|[\n\r\u2028\u2029]/);
  // Between stop-commands and its token nothing is obeyed: that is how a log is shown.
  const isOurs = /^::(?:error|warning|notice|group|endgroup|stop-commands|[0-9a-f-]{36})(?: [^:]*)?::/;
  for (const line of lines) {
    if (line.includes('##[') || (/^\s*::/.test(line) && !isOurs.test(line)))
      throw new Error(`obeyed: ${line}`);
  }
}

const noNul = (text: string) => text.replaceAll('\u0000', '');

describe('launch', () => {
  test('is decent whatever options and variables hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...OPTIONS), hostileText), { maxLength: 4 }),
        fc.array(hostileText, { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...VARIABLES), hostileText.map(noNul), { maxKeys: 4 }),
        fc.boolean(),
        async (options, places, variables, isComplete) => {
          const run = await runProgramHere(launch, {
            args: [
              ...options.flat(),
              '--dry-run',
              ...(isComplete ? ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)] : places),
            ],
            cwd: folder,
            clock: createPatientClock(),
            env: { ...sandbox.clearml.env, ...variables, GITHUB_ACTIONS: 'true', PATH: process.env.PATH },
          });
          expectDecent(run, [0, 2, 7, 9, 10]);
          if (run.exitCode === 0) expect(JSON.parse(run.stdout)).toHaveProperty('tasks');
        },
      ),
      {
        numRuns: 200,
        // Cases that failed once.
        examples: [
          [[], [], { HTTP_PROXY: 'proxy.local:3128' }, true],
          [[], [], { HTTP_PROXY: 'http://[bad' }, true],
          [[['--param', '__proto__=x']], [], {}, true],
          [[], [], { GITHUB_SERVER_URL: 'github' }, true],
        ],
      },
    );
  });

  test('is decent whatever the settings file and the event hold', async () => {
    const settings = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.json(),
      fc
        .dictionary(
          fc.constantFrom(
            'project',
            'queue',
            'params',
            'seeds',
            'metrics',
            'baseline',
            'paths',
            'timeout',
            'tags',
          ),
          fc.anything({ maxDepth: 2 }),
        )
        .map((value) => JSON.stringify(value) ?? ''),
    );
    const event = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record({
          pull_request: fc.record({
            number: fc.anything({ maxDepth: 1 }),
            head: fc.record({
              sha: hostileText,
              ref: hostileText,
              repo: fc.record({ clone_url: hostileText }),
            }),
            base: fc.record({ ref: hostileText }),
          }),
        })
        .map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(settings, event, async (settingsText, eventText) => {
        writeFileSync(join(folder, 'settings.yml'), settingsText);
        writeFileSync(join(folder, 'event.json'), eventText);
        const run = await runProgramHere(launch, {
          args: ['--dry-run', '--config', 'settings.yml'],
          cwd: folder,
          clock: createPatientClock(),
          env: {
            ...sandbox.clearml.env,
            GITHUB_ACTIONS: 'true',
            GITHUB_REPOSITORY: 'acme/digits',
            GITHUB_EVENT_NAME: 'pull_request',
            GITHUB_EVENT_PATH: join(folder, 'event.json'),
            PATH: process.env.PATH,
          },
        });
        expectDecent(run, [0, 2, 10]);
      }),
      { numRuns: 200 },
    );
  });
});

/** The answer with one of its values, chosen by a number, replaced by another. */
function replaceLeaf(body: string, at: number, value: unknown): string {
  let leaves = 0;
  const count = JSON.stringify(JSON.parse(body), (_, leaf) => {
    if (typeof leaf !== 'object' || leaf === null) leaves += 1;
    return leaf;
  });
  if (leaves === 0) return count;
  let index = -1;
  return JSON.stringify(JSON.parse(body), (_, leaf) => {
    if (typeof leaf === 'object' && leaf !== null) return leaf;
    index += 1;
    return index === at % leaves ? value : leaf;
  });
}

describe.each([
  ['launch', launch, () => ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40), '--no-reuse']],
  ['check', check, () => [taskId, '--outage-timeout', '30s', '--timeout', '20s', '--queue-timeout', '20s']],
  ['comment', comment, () => [taskId, '--pr', '7']],
] as const)('%s', (_, main, listArgs) => {
  test('is decent whatever value of an answer is another than it should be', async () => {
    const value = fc.oneof(
      hostileText,
      fc.constantFrom<unknown>(
        null,
        true,
        -1,
        0,
        1e308,
        2 ** 53,
        [],
        {},
        [{}],
        'queued',
        'in_progress',
        'a'.repeat(5000),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(20), fc.nat(500), value, async (request, leaf, replacement) => {
        const proxies = await Promise.all(
          [sandbox.clearml.apiHost, sandbox.github.apiUrl].map((target) =>
            startFaultProxy(target, (_, index) =>
              index < request
                ? undefined
                : {
                    kind: 'rewrite',
                    change: (body) =>
                      body.startsWith('{') || body.startsWith('[')
                        ? replaceLeaf(body, leaf, replacement)
                        : body,
                  },
            ),
          ),
        );
        const [clearml, github] = proxies;
        try {
          const run = await runProgramHere(main, {
            args: listArgs(),
            cwd: folder,
            clock: createPatientClock(),
            env: {
              ...sandbox.env,
              CLEARML_API_HOST: clearml?.url,
              GITHUB_API_URL: github?.url,
              GITHUB_ACTIONS: 'true',
            },
          });
          expectDecent(run, [0, 3, 4, 7, 8, 9, 10, 124]);
        } finally {
          await Promise.all(proxies.map((proxy) => proxy.close()));
        }
      }),
      { numRuns: 120 },
    );
  });
});
