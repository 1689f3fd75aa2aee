import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, request, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createProxy } from 'proxy';
import { generate } from 'selfsigned';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { createClearmlDriver } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { type ProgramName, runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { main as launch } from '../launch-training-task.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

let sandbox: Sandbox;
let folder: string;
let authority: string;
let keys: Awaited<ReturnType<typeof generate>>;
const servers: Server[] = [];

beforeAll(async () => {
  keys = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  });
  folder = mkdtempSync(join(tmpdir(), 'network-'));
  authority = join(folder, 'authority.pem');
  writeFileSync(authority, keys.cert);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(async () => {
  sandbox = await startSandbox({
    github: { pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }] },
  });
});

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await sandbox.close();
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** HTTPS with an unknown certificate, in front of a server of the sandbox. */
async function serveEncrypted(target: string): Promise<string> {
  const { hostname, port } = new URL(target);
  const server = createHttpsServer({ key: keys.private, cert: keys.cert }, (incoming, outgoing) => {
    const upstream = request(
      { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(upstream);
  });
  return `https://localhost:${await listen(server as unknown as Server)}`;
}

/** A real forward proxy with user name and password. Returns its address and what passed through. */
async function startForwardProxy(): Promise<{ port: number; passed: string[] }> {
  const passed: string[] = [];
  const proxy = createProxy(createHttpServer());
  proxy.authenticate = (incoming) => {
    const expected = `Basic ${Buffer.from('corp-user:p@ss-w0rd').toString('base64')}`;
    return incoming.headers['proxy-authorization'] === expected;
  };
  for (const event of ['connect', 'request'] as const) {
    proxy.prependListener(event, (incoming: { method?: string; url?: string }) => {
      passed.push(`${incoming.method} ${incoming.url}`);
    });
  }
  return { port: await listen(proxy), passed };
}

async function createEndedTask(): Promise<string> {
  const driver = createClearmlDriver(sandbox.clearml.env);
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.completeTask(id);
  return id;
}

const RUNS: ReadonlyArray<readonly [ProgramName, () => Promise<readonly string[]>]> = [
  ['launch-training-task', async () => ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)]],
  ['check-task-running', async () => [await createEndedTask()]],
  ['create-stats-comment', async () => [await createEndedTask(), '--pr', '7']],
];

describe.each(RUNS)('%s', (program, prepare) => {
  const run = async (env: Record<string, string>) =>
    runProgramProcess(program, { args: await prepare(), cwd: folder, env: { ...sandbox.env, ...env } });

  test('goes through a proxy that asks for a password, for both services, and shows the password nowhere', async () => {
    const { port, passed } = await startForwardProxy();
    const proxy = `http://corp-user:p%40ss-w0rd@127.0.0.1:${port}`;
    const result = await run({ HTTP_PROXY: proxy, HTTPS_PROXY: proxy });
    expect(result).toMatchObject({ exitCode: 0 });
    const hosts = passed.map((line) => /127\.0\.0\.1:\d+/.exec(line)?.[0]);
    expect(hosts).toContain(new URL(sandbox.clearml.apiHost).host);
    if (program === 'create-stats-comment') expect(hosts).toContain(new URL(sandbox.github.apiUrl).host);
    expect(result.stdout + result.stderr).not.toMatch(/p(?:@|%40)ss-w0rd/);
  });

  test.each(['localhost,127.0.0.1', '127.0.0.1:*', '10.0.0.0/8 127.0.0.0/8'])(
    'goes around the proxy where NO_PROXY says so: %s',
    async (noProxy) => {
      const { port, passed } = await startForwardProxy();
      const result = await run({ HTTP_PROXY: `http://127.0.0.1:${port}`, NO_PROXY: noProxy });
      expect(result.exitCode).toBe(0);
      expect(passed).toEqual([]);
    },
  );

  test('says so when the proxy refuses, without its password', async () => {
    const { port } = await startForwardProxy();
    const proxy = `http://corp-user:wr0ng-w0rd@127.0.0.1:${port}`;
    const result = await run({ HTTP_PROXY: proxy, HTTPS_PROXY: proxy });
    expect(result.exitCode).toBe(9);
    expect(result.stderr).not.toContain('wr0ng-w0rd');
    expect(result.stderr).toContain('the proxy refused to connect (407)');
  });

  test('trusts a private certificate authority that NODE_EXTRA_CA_CERTS names, for both services', async () => {
    const env = {
      CLEARML_API_HOST: await serveEncrypted(sandbox.clearml.apiHost),
      GITHUB_API_URL: await serveEncrypted(sandbox.github.apiUrl),
      // There the first connections are opened before anything is asked.
      GITHUB_ACTIONS: 'true',
    };
    expect(await run({ ...env, NODE_EXTRA_CA_CERTS: authority })).toMatchObject({ exitCode: 0 });
    const refused = await run(env);
    expect(refused.exitCode).toBe(9);
    expect(refused.stderr).toContain('NODE_EXTRA_CA_CERTS');
  });
});

const MAINS = {
  'launch-training-task': launch,
  'check-task-running': check,
  'create-stats-comment': comment,
} as const;

const SERVICES = RUNS.flatMap(([program, prepare]) =>
  (program === 'create-stats-comment' ? (['ClearML', 'GitHub'] as const) : (['ClearML'] as const)).map(
    (service) => [program, service, prepare] as const,
  ),
);

describe.each(SERVICES)('%s, where the address of %s', (program, service, prepare) => {
  const variable = service === 'ClearML' ? 'CLEARML_API_HOST' : 'GITHUB_API_URL';

  test('holds a name that nobody knows, gives up in time with exit 9, and says that it is the name', async () => {
    const clock = createPatientClock();
    const args = await prepare();
    const beganAtMs = clock.now();
    const { exitCode, stdout, stderr } = await runProgramHere(MAINS[program], {
      args,
      cwd: folder,
      clock,
      env: { ...sandbox.env, [variable]: 'http://no-such-host.invalid' },
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 9, stdout: '' });
    expect(stderr).toMatch(/^error: .*(?:the host name is unknown|the name server did not answer) \(DNS\)$/m);
    expect(stderr).toContain(variable);
    expect(clock.now() - beganAtMs).toBeLessThan(60_000);
  });

  test('leads to a certificate that nobody knows, ends at once with exit 9, and says what to do', async () => {
    const args = await prepare();
    const address = await serveEncrypted(
      service === 'ClearML' ? sandbox.clearml.apiHost : sandbox.github.apiUrl,
    );
    const clock = createPatientClock();
    const beganAtMs = clock.now();
    const { exitCode, stdout, stderr } = await runProgramHere(MAINS[program], {
      args,
      cwd: folder,
      clock,
      env: { ...sandbox.env, [variable]: address },
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 9, stdout: '' });
    expect(stderr).toMatch(/^error: .*the server's certificate is not trusted/m);
    expect(stderr).toContain('NODE_EXTRA_CA_CERTS');
    expect(clock.now() - beganAtMs).toBeLessThan(15_000);
  });
});
