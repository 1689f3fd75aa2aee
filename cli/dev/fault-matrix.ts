import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AskServer } from '../sandbox/direct-answer.ts';
import type { GithubSandboxOptions } from '../sandbox/github-server.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { systemClock } from '../shell/process.ts';
import type { Clock, World } from '../shell/world.ts';
import { type ClearmlDriver, createClearmlDriver } from './clearml-driver.ts';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from './fault-proxy.ts';
import { createPatientClock } from './patient-clock.ts';
import {
  type ProgramName,
  type ProgramRun,
  type RunOptions,
  runProgramHere,
  runProgramProcess,
} from './program-run.ts';
import { drawSecrets } from './secret-forms.ts';

/** What can go wrong with one request, by name. */
export const FAULTS: Readonly<Record<string, Fault | { readonly kind: 'no-name' }>> = {
  'name not resolved (DNS)': { kind: 'no-name' },
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

/** One request: the nth to its endpoint. */
export interface MatrixRequest {
  readonly service: 'clearml' | 'github';
  /** `tasks.create`, `GET /repos/…/comments`. */
  readonly endpoint: string;
  readonly nth: number;
}

/** One request of a good run. */
export interface RecordedRequest extends MatrixRequest {
  /** Number of its connection to the service. Each request has its own. */
  readonly connection: number;
  /** Equal for two requests with the same question, answer and earlier exchanges. */
  readonly situation: string;
  /** Question and answer are those of the two before it: another look while nothing happens. */
  readonly isRepeated: boolean;
}

export interface Cell {
  readonly request: RecordedRequest;
  readonly fault: string;
  readonly repetition: Repetition;
}

/** What a scenario is prepared with. */
export interface Stage {
  readonly sandbox: Sandbox;
  readonly driver: ClearmlDriver;
  /** Empty, gone after the run. */
  readonly folder: string;
  /** Runs a program undisturbed. */
  run(
    main: (world: World) => Promise<number>,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<{ readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }>;
}

/** A program's run whose requests are broken, one by one. */
export interface Scenario {
  readonly name: string;
  readonly program: ProgramName;
  readonly main: (world: World) => Promise<number>;
  /** Of a run that nothing disturbs. */
  readonly exitCode: number;
  /** Within this time, by the program's own clock, it must have ended. */
  readonly limitMs: number;
  readonly github?: GithubSandboxOptions;
  /** Prepares the sandbox; gives arguments and variables, and what happens before a request is passed on. */
  prepare(stage: Stage): Promise<{
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly meanwhile?: (request: MatrixRequest) => Promise<void>;
  }>;
  /** What is wrong with the state that a run left behind; undefined when all is well. */
  judge(outcome: Outcome): Promise<string | undefined>;
}

export interface Outcome {
  readonly scenario: Scenario;
  readonly sandbox: Sandbox;
  readonly driver: ClearmlDriver;
  /** The wall's, where the program ran as a process: no other passes while processes run. */
  readonly clock: Clock;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The result of a cell. */
export interface CellResult {
  readonly exitCode: number | null;
  /** What is wrong with it; undefined if nothing is. */
  readonly problem: string | undefined;
}

const LIMIT_WAIT_MS = 60_000;

/** What each answer takes while requests are recorded. */
const RECORDED_LATENCY_MS = 100;

/**
 * Runs the scenario without faults and lists its requests. Every answer has the same latency, by a clock that stands still
 * while there is work to do. So the order of requests and answers is the same in every run.
 */
export async function recordRequests(scenario: Scenario): Promise<RecordedRequest[]> {
  const exchanges: Array<{ request: MatrixRequest; seen: SeenRequest; atMs: number }> = [];
  const { problem } = await runScenario(scenario, undefined, {
    latencyMs: RECORDED_LATENCY_MS,
    onRequest: (request, seen, atMs) => exchanges.push({ request, seen, atMs }),
  });
  if (problem !== undefined) throw new Error(`${scenario.name} goes wrong undisturbed: ${problem}`);
  const described = exchanges.map(({ request, seen, atMs }) => ({
    request,
    atMs,
    text: `${request.service} ${request.endpoint} ${generalize(seen.answer ?? '')}`,
  }));
  return described.map(({ request, atMs, text }, index) => {
    const [before, beside] = [
      described.filter((other) => other.atMs + RECORDED_LATENCY_MS <= atMs),
      described.filter((other) => Math.abs(other.atMs - atMs) < RECORDED_LATENCY_MS),
    ].map((others) => others.map((other) => other.text).sort());
    return {
      ...request,
      connection: described.slice(0, index + 1).filter((other) => other.request.service === request.service)
        .length,
      situation: createHash('sha256')
        .update(JSON.stringify([scenario.program, before, beside, text]))
        .digest('hex'),
      isRepeated: index >= 2 && described.slice(index - 2, index).every((other) => other.text === text),
    };
  });
}

/** An answer without what differs between runs: ids, times, ports, commits. */
function generalize(answer: string): string {
  return answer.replace(/\b[0-9a-f]{8,}\b|\d+(?:\.\d+)?/g, '…');
}

/** Every request × every fault × every repetition. */
export function listCells(requests: readonly RecordedRequest[]): Cell[] {
  return requests.flatMap((request) =>
    Object.keys(FAULTS).flatMap((fault) =>
      (Object.keys(REPETITIONS) as Repetition[]).map((repetition) => ({ request, fault, repetition })),
    ),
  );
}

/** The cells that are made of a scenario's requests. */
export interface CellPlan {
  readonly requests: number;
  readonly broken: number;
  readonly cells: readonly Cell[];
}

/** Plans every scenario. A situation that a scenario before has been in is not made again. */
export async function makePlans(
  scenarios: readonly Scenario[],
): Promise<Array<CellPlan & { readonly scenario: Scenario }>> {
  const plans: Array<CellPlan & { readonly scenario: Scenario }> = [];
  const known = new Set<string>();
  for (const scenario of scenarios) {
    const requests = await recordRequests(scenario);
    const broken = requests.filter(({ situation, isRepeated }) => !isRepeated && !known.has(situation));
    for (const { situation } of requests) known.add(situation);
    plans.push({ scenario, requests: requests.length, broken: broken.length, cells: listCells(broken) });
  }
  return plans;
}

/** Runs one cell in a sandbox of its own, in this process, with a clock that jumps. */
export async function runCell(scenario: Scenario, cell: Cell): Promise<CellResult> {
  return runScenario(scenario, cell, {});
}

/**
 * Runs one cell in its own sandbox, and the program as a process, in real time.
 *
 * @param signal kills the process
 */
export async function runCellAsProcess(
  scenario: Scenario,
  cell: Cell,
  signal: AbortSignal,
): Promise<CellResult> {
  return runScenario(scenario, cell, {
    runProgram: (options) =>
      runProgramProcess(scenario.program, {
        ...options,
        onStart: ({ kill }) => signal.addEventListener('abort', () => kill('SIGKILL')),
      }),
  });
}

interface ScenarioRunOptions {
  /** Default: runs it in this process, with a clock that jumps. */
  readonly runProgram?: (options: RunOptions) => Promise<ProgramRun>;
  /** What passes before a request is passed on; default: none. */
  readonly latencyMs?: number;
  /** Told of each request, and when it came by the run's clock. */
  readonly onRequest?: (request: MatrixRequest, seen: SeenRequest, atMs: number) => void;
}

async function runScenario(
  scenario: Scenario,
  cell: Cell | undefined,
  { runProgram, latencyMs, onRequest = () => undefined }: ScenarioRunOptions,
): Promise<CellResult> {
  const clock = runProgram === undefined ? createPatientClock() : systemClock;
  const sandbox = await startSandbox({
    clearml: { now: clock.now },
    github: {
      pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }],
      ...scenario.github,
      now: clock.now,
    },
  });
  const proxies: FaultProxy[] = [];
  let restoreNames: () => void = () => undefined;
  /** When the program is at work: of a process from its first request on, as a busy machine takes long to start one. */
  let beganAtMs: number | undefined;
  const folder = await mkdtemp(join(tmpdir(), 'fault-matrix-'));
  try {
    const driver = createClearmlDriver(sandbox.clearml.env, sandbox.clearml.askApi);
    const prepared = await scenario.prepare({
      sandbox,
      driver,
      folder,
      run: (main, args, env) =>
        runProgramHere(main, { args, cwd: folder, clock, env: { ...sandbox.env, ...env } }),
    });
    const breakService = async (service: MatrixRequest['service'], target: AskServer) => {
      const counts = new Map<string, number>();
      let left = cell === undefined ? 0 : REPETITIONS[cell.repetition];
      const fault = cell === undefined ? undefined : FAULTS[cell.fault];
      const chooseFault = async (seen: SeenRequest): Promise<Fault | undefined> => {
        const { method, path } = seen;
        const endpoint = nameEndpoint(service, method, path);
        const nth = (counts.get(endpoint) ?? 0) + 1;
        counts.set(endpoint, nth);
        beganAtMs ??= clock.now();
        const request = { service, endpoint, nth };
        onRequest(request, seen, clock.now());
        await prepared.meanwhile?.(request);
        if (cell?.request.service !== service || cell.request.endpoint !== endpoint) return undefined;
        if (nth < cell.request.nth || left <= 0 || fault?.kind === 'no-name') return undefined;
        left -= 1;
        return fault;
      };
      const proxy = await startFaultProxy(target, chooseFault, { clock, latencyMs: latencyMs ?? 0 });
      proxies.push(proxy);
      if (fault?.kind !== 'no-name' || cell?.request.service !== service) return proxy.url;
      let connections = 0;
      restoreNames = replaceNameLookup(SERVER_NAME, () => {
        connections += 1;
        if (connections < cell.request.connection || left <= 0) return false;
        left -= 1;
        return true;
      });
      return proxy.url.replace('127.0.0.1', SERVER_NAME);
    };
    const secrets = drawSecrets(sandbox);
    const [outputFile, summaryFile] = [join(folder, 'output'), join(folder, 'summary.md')];
    const options = {
      args: prepared.args.map((argument) => secrets.hideIn(argument)),
      cwd: folder,
      env: {
        ...sandbox.env,
        ...secrets.env,
        ...prepared.env,
        GITHUB_OUTPUT: outputFile,
        GITHUB_STEP_SUMMARY: summaryFile,
        CLEARML_API_HOST: secrets.hideIn(await breakService('clearml', sandbox.clearml.askApi)),
        CLEARML_WEB_HOST: secrets.hideIn(sandbox.clearml.webHost),
        GITHUB_SERVER_URL: secrets.hideIn(sandbox.env.GITHUB_SERVER_URL ?? ''),
        GITHUB_API_URL: secrets.hideIn(await breakService('github', sandbox.github.askApi)),
      },
    };
    if (runProgram === undefined) beganAtMs = clock.now();
    const run = await (runProgram?.(options) ?? runProgramHere(scenario.main, { ...options, clock }));
    const tookMs = clock.now() - (beganAtMs ?? clock.now());
    const written = {
      stdout: run.stdout,
      stderr: run.stderr,
      outputs: await readIfThere(outputFile),
      summary: await readIfThere(summaryFile),
      comments: JSON.stringify(sandbox.github.comments(7)),
      tasks: JSON.stringify(await driver.listTasks()),
      requests: JSON.stringify(
        proxies.flatMap(({ seen }) =>
          seen.map(({ headers: { authorization: _, ...headers }, ...rest }) => ({ ...rest, headers })),
        ),
      ),
    };
    const leaks = Object.entries(written).filter(([, text]) =>
      secrets.forms.some((secret) => text.includes(secret)),
    );
    const problems = [
      ...leaks.map(([place]) => `a secret leaked into ${place}`),
      await scenario.judge({ ...run, scenario, sandbox, driver, clock }),
      tookMs > scenario.limitMs + (cell && isUnhintedLimit(cell) ? LIMIT_WAIT_MS : 0)
        ? `it took ${Math.round(tookMs / 1000)} s`
        : undefined,
      /\n\s+at .*\.[mt]s:\d+/.test(run.stderr) ? 'a stack was shown' : undefined,
      cell === undefined || !mustBeSurvived(cell) || run.exitCode === scenario.exitCode
        ? undefined
        : `a passing fault ended it with exit code ${run.exitCode}`,
    ].filter((problem) => problem !== undefined);
    return {
      exitCode: run.exitCode,
      problem: problems.length === 0 ? undefined : `${problems.join('; ')}\n${run.stderr}`,
    };
  } finally {
    restoreNames();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await sandbox.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A GitHub rate limit that does not say how long it lasts: a minute, which is waited for once. */
function isUnhintedLimit({ request, fault }: Cell): boolean {
  return request.service === 'github' && fault === '429';
}

/**
 * Whether a program must survive the fault: a passing fault must not end a run. The exceptions last longer than the minute
 * after which a program gives up: three silences in a row, and a rate limit that is there again after its wait.
 */
function mustBeSurvived(cell: Cell): boolean {
  const { request, fault, repetition } = cell;
  if (repetition === 'for ever') return false;
  if (isUnhintedLimit(cell)) return repetition === 'once';
  const isSilence = fault.startsWith('no answer') || fault === 'slow drip';
  if (isSilence && repetition === 'three times') return false;
  return !(
    request.service === 'github' && ['200 with a login page', 'JSON of the wrong shape'].includes(fault)
  );
}

/** Stands for 127.0.0.1 where names are looked up by `replaceNameLookup`. */
const SERVER_NAME = 'server.test';

/** Makes this process resolve a name, except for look-ups that should fail. The returned function undoes it. */
function replaceNameLookup(name: string, isToFail: () => boolean): () => void {
  const { lookup } = dns;
  const replaced = (host: string, options: dns.LookupOptions, callback: (...results: unknown[]) => void) => {
    if (host !== name) return (lookup as (...args: unknown[]) => void)(host, options, callback);
    const error = isToFail()
      ? Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' })
      : null;
    const found = options.all === true ? [[{ address: '127.0.0.1', family: 4 }]] : ['127.0.0.1', 4];
    setImmediate(() => (error === null ? callback(null, ...found) : callback(error)));
  };
  Object.assign(dns, { lookup: replaced });
  return () => void Object.assign(dns, { lookup });
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
