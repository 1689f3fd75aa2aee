import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { startClearmlAgent } from './clearml-agent.ts';

// The real agent is met in sandbox/real-clients.slow.test.ts; here a stand-in for Python shows that nothing outlives it.

let directory: string;
let server: Server;
/** Processes of the stand-in that are alive: each holds a connection. */
let alive: number;
let onChange: () => void;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'clearml-ci-agent-test-'));
  alive = 0;
  onChange = () => undefined;
  server = createServer((socket) => {
    alive += 1;
    onChange();
    socket
      .on('error', () => undefined)
      .on('close', () => {
        alive -= 1;
        onChange();
      });
    socket.resume();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});

afterEach(async () => {
  server.close();
  await once(server, 'close');
  rmSync(directory, { recursive: true });
});

async function waitForAlive(count: number): Promise<void> {
  await new Promise<void>((resolve) => {
    onChange = () => {
      if (alive === count) resolve();
    };
    onChange();
  });
}

/** Options with an executable that does `body` where the agent's interpreter is expected. */
function withStandIn(body: string) {
  const python = join(directory, 'python');
  writeFileSync(python, `#!${process.execPath}\n${body}`);
  chmodSync(python, 0o755);
  return {
    server: { CLEARML_API_HOST: 'http://127.0.0.1:1' },
    python,
    queue: 'default',
    workerId: 'test:worker',
    packages: 'prepared',
  } as const;
}

/** Listens, and has a child; both stay until they are killed. */
const standInThatStays = () => `
  const connection = require('node:net').connect(${(server.address() as AddressInfo).port}, '127.0.0.1');
  process.on('SIGTERM', () => process.argv[2] !== 'child' && process.exit(0));
  connection.on('connect', () => {
    if (process.argv[2] === 'child') return;
    require('node:child_process').spawn(process.execPath, [__filename, 'child'], { stdio: 'inherit' });
    console.log('home', process.env.HOME);
    console.log('No tasks in queue');
  });`;

/** The processes that were started with this word among their arguments (Linux only: elsewhere none is found). */
function listProcesses(word: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes(word) ? [command] : [];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

test('stopping an agent ends what it started, and what watches over it, and removes its home', async () => {
  const agent = await startClearmlAgent(withStandIn(standInThatStays()));
  await waitForAlive(2);
  const home = /home (.*)/.exec(agent.log())?.[1] ?? '';
  expect(existsSync(home)).toBe(true);
  await agent.stop();
  expect(listProcesses(home)).toEqual([]);
  await waitForAlive(0);
  expect(existsSync(home)).toBe(false);
});

test('an agent does not outlive the process that started it, even where that one is killed', async () => {
  const options = JSON.stringify(withStandIn(standInThatStays()));
  const module = new URL('./clearml-agent.ts', import.meta.url).href;
  const program = `
    import { startClearmlAgent } from '${module}';
    const agent = await startClearmlAgent(${options});
    console.log(agent.log());`;
  const caller = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await once(caller.stdout.setEncoding('utf8'), 'data');
  await waitForAlive(2);
  caller.kill('SIGKILL');
  await waitForAlive(0);
  const home = /home (.*)/.exec(output)?.[1] ?? '';
  // Removed right after the processes were ended.
  while (existsSync(home)) await new Promise((resolve) => setTimeout(resolve, 10));
});

test('an agent gets the server that it is told and nothing of our own ClearML settings', async () => {
  process.env.CLEARML_API_SECRET_KEY = 'ours';
  try {
    const options = withStandIn(
      `console.log(JSON.stringify({ arguments: process.argv.slice(2), env: process.env }));
       console.log('No tasks in queue'); setInterval(() => {}, 1000);`,
    );
    const agent = await startClearmlAgent({ ...options, pollIntervalMs: 250 });
    await agent.stop();
    const seen = JSON.parse(agent.log().split('\n')[0] ?? '');
    expect(seen.arguments.slice(-2)).toEqual(['--queue', 'default']);
    expect(seen.env).toMatchObject({
      CLEARML_API_HOST: 'http://127.0.0.1:1',
      CLEARML_WORKER_ID: 'test:worker',
      CLEARML_AGENT_QUEUE_POLL_FREQ_SEC: '0.25',
      CLEARML_AGENT_SKIP_PIP_VENV_INSTALL: options.python,
      PATH: process.env.PATH,
    });
    expect(seen.env.HOME).not.toBe(process.env.HOME);
    expect(seen.env.CLEARML_API_SECRET_KEY).toBeUndefined();
  } finally {
    delete process.env.CLEARML_API_SECRET_KEY;
  }
});

test.each([
  ['ends at once', 'console.error("no such server"); process.exit(3)', /it ended \(3\)\nno such server/],
  ['is killed', 'process.kill(process.pid, "SIGKILL")', /it ended \(SIGKILL\)/],
])('an agent that %s is an error with its last words', async (_case, body, message) => {
  await expect(startClearmlAgent(withStandIn(body))).rejects.toThrow(message);
});

test('a missing interpreter is an error', async () => {
  const options = { ...withStandIn(''), python: join(directory, 'missing') };
  await expect(startClearmlAgent(options)).rejects.toThrow('does not listen to default: spawn');
});
