import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { World } from '../core/world.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { type ClearmlDriver, createClearmlDriver } from './clearml-driver.ts';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from './fault-proxy.ts';
import { createPatientClock } from './patient-clock.ts';
import { type ProgramName, runProgramHere } from './program-run.ts';

/** What can go wrong with one request, by name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'connection refused': { kind: 'refuse' },
  'reset before it was applied': { kind: 'cut-before' },
  'reset after it was applied': { kind: 'cut-after' },
  'no answer, not applied': { kind: 'silence', isApplied: false },
  'no answer, applied': { kind: 'silence', isApplied: true },
  'answer cut in the middle': { kind: 'cut-within' },
  'slow drip': { kind: 'drip' },
  '429': { kind: 'answer', status: 429, body: 'slow down' },
  '429 with Retry-After': { kind: 'answer', status: 429, headers: { 'retry-after': '3' }, body: 'slow down' },
  '500': { kind: 'answer', status: 500, body: 'internal error' },
  '502 with HTML': { kind: 'answer', status: 502, body: '<html><h1>502 Bad Gateway</h1></html>' },
  '503 maintenance': {
    kind: 'answer',
    status: 503,
    headers: { 'retry-after': '2' },
    body: '<html>Maintenance</html>',
  },
  '200 with a login page': { kind: 'answer', status: 200, body: '<!doctype html><form>Sign in</form>' },
  'JSON of the wrong shape': {
    kind: 'answer',
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: '{"message": ["unexpected"]}',
  },
};

export const REPETITIONS = { once: 1, 'three times': 3, 'for ever': Number.POSITIVE_INFINITY } as const;

export type Repetition = keyof typeof REPETITIONS;

/** One request of a good run: the how-manieth to its endpoint. */
export interface MatrixRequest {
  readonly service: 'clearml' | 'github';
  /** `tasks.create`, `GET /repos/…/comments`. */
  readonly endpoint: string;
  readonly nth: number;
}

export interface Cell {
  readonly scenario: string;
  readonly request: MatrixRequest;
  readonly fault: string;
  readonly repetition: Repetition;
}

/** A program's run whose requests are broken, one by one. */
export interface Scenario {
  readonly name: string;
  readonly program: ProgramName;
  readonly main: (world: World) => Promise<number>;
  /** Within this time, by the program's own clock, it must have ended. */
  readonly limitMs: number;
  /** Prepares the sandbox; gives arguments and variables, and tasks that something happens to meanwhile. */
  prepare(
    sandbox: Sandbox,
    driver: ClearmlDriver,
  ): Promise<{
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
  }>;
  /** What is wrong with the state that a run left behind; undefined when all is well. */
  judge(outcome: Outcome): Promise<string | undefined>;
}

export interface Outcome {
  readonly sandbox: Sandbox;
  readonly driver: ClearmlDriver;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly repetition: Repetition | undefined;
}

/** Runs the scenario undisturbed, and lists the requests it makes. */
export async function recordRequests(scenario: Scenario): Promise<MatrixRequest[]> {
  const requests: MatrixRequest[] = [];
  const problem = await runScenario(scenario, undefined, (request) => requests.push(request));
  if (problem !== undefined) throw new Error(`${scenario.name} goes wrong undisturbed: ${problem}`);
  return requests;
}

/** Every request × every fault × every repetition. */
export function listCells(scenario: string, requests: readonly MatrixRequest[]): Cell[] {
  return requests.flatMap((request) =>
    Object.keys(FAULTS).flatMap((fault) =>
      (Object.keys(REPETITIONS) as Repetition[]).map((repetition) => ({
        scenario,
        request,
        fault,
        repetition,
      })),
    ),
  );
}

/** Runs one cell in a sandbox of its own; gives what is wrong with what came of it, or undefined. */
export async function runCell(scenario: Scenario, cell: Cell): Promise<string | undefined> {
  return runScenario(scenario, cell, () => undefined);
}

async function runScenario(
  scenario: Scenario,
  cell: Cell | undefined,
  onRequest: (request: MatrixRequest) => void,
): Promise<string | undefined> {
  const clock = createPatientClock();
  const sandbox = await startSandbox({
    clearml: { now: clock.now },
    github: {
      now: clock.now,
      pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }],
    },
  });
  const proxies: FaultProxy[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'fault-matrix-'));
  try {
    const driver = createClearmlDriver(sandbox.clearml.env);
    const { args, env } = await scenario.prepare(sandbox, driver);
    const breakService = async (service: MatrixRequest['service'], target: string) => {
      const counts = new Map<string, number>();
      let left = cell === undefined ? 0 : REPETITIONS[cell.repetition];
      const chooseFault = ({ method, path }: Pick<SeenRequest, 'method' | 'path'>) => {
        const endpoint = nameEndpoint(service, method, path);
        const nth = (counts.get(endpoint) ?? 0) + 1;
        counts.set(endpoint, nth);
        onRequest({ service, endpoint, nth });
        if (cell?.request.service !== service || cell.request.endpoint !== endpoint) return undefined;
        if (nth < cell.request.nth || left <= 0) return undefined;
        left -= 1;
        return FAULTS[cell.fault];
      };
      const proxy = await startFaultProxy(target, chooseFault, { clock });
      proxies.push(proxy);
      return proxy.url;
    };
    const beganAtMs = clock.now();
    const run = await runProgramHere(scenario.main, {
      args,
      cwd: '/',
      clock,
      env: {
        ...sandbox.env,
        ...env,
        GITHUB_OUTPUT: join(folder, 'output'),
        GITHUB_STEP_SUMMARY: join(folder, 'summary.md'),
        CLEARML_API_HOST: await breakService('clearml', sandbox.clearml.apiHost),
        GITHUB_API_URL: await breakService('github', sandbox.github.apiUrl),
      },
    });
    const tookMs = clock.now() - beganAtMs;
    const written = [
      run.stdout,
      run.stderr,
      await readIfThere(join(folder, 'output')),
      await readIfThere(join(folder, 'summary.md')),
      JSON.stringify(sandbox.github.comments(7)),
      JSON.stringify(await driver.listTasks()),
    ].join('\n');
    const problems = [
      listSecretForms(sandbox).some((secret) => written.includes(secret)) ? 'a secret leaked' : undefined,
      await scenario.judge({ ...run, sandbox, driver, repetition: cell?.repetition }),
      tookMs > scenario.limitMs ? `it took ${Math.round(tookMs / 1000)} s` : undefined,
      /\n\s+at .*\.ts:\d+/.test(run.stderr) ? 'a stack was shown' : undefined,
      cell === undefined || !mustBeSurvived(cell) || run.exitCode === 0
        ? undefined
        : `a passing fault ended it with exit code ${run.exitCode}`,
    ].filter((problem) => problem !== undefined);
    return problems.length === 0 ? undefined : `${problems.join('; ')}\n${run.stderr}`;
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await sandbox.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Keys and token, plain, URL-encoded, base64 and as the Authorization header. */
function listSecretForms({ clearml, github }: Sandbox): string[] {
  const secrets = [
    clearml.accessKey,
    clearml.secretKey,
    github.token,
    `${clearml.accessKey}:${clearml.secretKey}`,
  ];
  const encode = (secret: string) => Buffer.from(secret).toString('base64').replace(/=+$/, '');
  return secrets.flatMap((secret) => [secret, encodeURIComponent(secret), encode(secret)]);
}

/**
 * Whether a program has to come through: what passes must not end a run. But for what takes longer than the minute in
 * which a program gives up: three silences in a row, and GitHub's rate limit without a word on how long it lasts.
 */
function mustBeSurvived({ request, fault, repetition }: Cell): boolean {
  if (repetition === 'for ever') return false;
  const isSilence = fault.startsWith('no answer') || fault === 'slow drip';
  if (isSilence && repetition === 'three times') return false;
  return !(
    request.service === 'github' &&
    ['429', '200 with a login page', 'JSON of the wrong shape'].includes(fault)
  );
}

/** Ids in paths become `…`: a request is the same one in every run. */
function nameEndpoint(service: MatrixRequest['service'], method: string, path: string): string {
  const withoutQuery = path.split('?')[0] ?? '';
  if (service === 'clearml') return withoutQuery.split('/').at(-1) ?? '';
  return `${method} ${withoutQuery.replace(/\b(?:\d+|[0-9a-f]{40})\b/g, '…')}`;
}

/** The text of a file; empty where there is none. */
async function readIfThere(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
