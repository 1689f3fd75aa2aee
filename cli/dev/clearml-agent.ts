import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from './command-run.ts';

/** A real clearml-agent that serves one queue. */
export interface ClearmlAgent {
  readonly workerId: string;
  /** What it has printed so far, the output of its tasks included. */
  log(): string;
  /** Ends it and all that it started, a running training included, and removes its files. */
  stop(): Promise<void>;
  /** The same without a word to the server, as a machine that loses its power does. */
  kill(): Promise<void>;
}

export interface ClearmlAgentOptions {
  /** The CLEARML_… variables of the server. */
  readonly server: Readonly<Record<string, string>>;
  /** Interpreter of an environment that holds clearml-agent. */
  readonly python: string;
  /** Created where it does not exist. Of two agents that create the same one at once, one ends with an error. */
  readonly queue: string;
  readonly workerId: string;
  /**
   * `prepared`: tasks run in the environment of `python`, as they would in a docker image that holds everything.
   * `install`: the agent makes an environment for each task and installs the repository's requirements with pip.
   */
  readonly packages: 'prepared' | 'install';
  /** How often it asks the queue and looks after its task; default 300, where the agent's own is 5000. */
  readonly pollIntervalMs?: number;
  /** Runs each task in a container of this image, or the task's own; the docker client must be there. */
  readonly dockerImage?: string;
  /** Runs this Python program with the queue as its argument, instead of the daemon. */
  readonly program?: string;
  /** A folder whose programs come before those of the machine. */
  readonly programsBefore?: string;
  /** Its git's settings, the content of `.gitconfig`: they may lead a repository's address elsewhere. */
  readonly gitConfig?: string;
}

/** Of clearml.conf: what saves time, or keeps the agent from asking the internet. */
const SETTINGS = `
# It would ask updates.clear.ml.
agent.disable_agent_update_check: true
# No other pip first.
agent.package_manager.pip_version: ""
# No copy of each environment it made: that alone took 20 s.
agent.venvs_cache.path: ""
`;

/** What of our environment an agent gets; nothing that leads to somebody's ClearML. */
const INHERITED = /^(PATH|LANG|LC_.*|TZ|PIP_.*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy)$/i;

const START_TIMEOUT_MS = 300_000;
/** An agent that is killed before it has taken itself off the list of workers stays there. */
const STOP_TIMEOUT_MS = 60_000;

/**
 * Starts `clearml-agent daemon --foreground` with a home of its own in a temporary directory, so that neither it nor
 * its tasks meet anybody's clearml.conf, credentials or caches (pip's excepted). Ready when it listens to its queue.
 *
 * It ends with this process, however that ends. Linux and macOS only: it takes process groups and a shell.
 */
export async function startClearmlAgent(options: ClearmlAgentOptions): Promise<ClearmlAgent> {
  const packages =
    options.packages === 'install' ? await findPipSettings(options.python) : usePrepared(options.python);
  const home = mkdtempSync(join(tmpdir(), 'clearml-ci-agent-'));
  mkdirSync(join(home, 'tmp'));
  writeFileSync(join(home, 'clearml.conf'), SETTINGS);
  writeFileSync(join(home, '.gitconfig'), options.gitConfig ?? '');
  const noProxy = [process.env.NO_PROXY ?? process.env.no_proxy, '127.0.0.1', 'localhost'];
  const daemon = ['-m', 'clearml_agent', 'daemon', '--foreground', '--cpu-only', '--create-queue'];
  const docker = options.dockerImage === undefined ? [] : ['--docker', options.dockerImage];
  const { program, queue, programsBefore } = options;
  const args = program === undefined ? [...daemon, '--queue', queue, ...docker] : ['-c', program, queue];
  const agent = spawn(options.python, args, {
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => INHERITED.test(name))),
      NO_PROXY: noProxy.filter(Boolean).join(','),
      ...packages,
      ...options.server,
      ...(programsBefore === undefined ? {} : { PATH: `${programsBefore}:${process.env.PATH}` }),
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      CLEARML_CONFIG_FILE: join(home, 'clearml.conf'),
      CLEARML_WORKER_ID: options.workerId,
      CLEARML_AGENT_QUEUE_POLL_FREQ_SEC: String((options.pollIntervalMs ?? 300) / 1000),
      GIT_TERMINAL_PROMPT: '0',
      PYTHONUNBUFFERED: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own: ending the group ends the agent, the task it runs, and git or pip in between.
    detached: true,
  });
  const exited = new Promise<string>((resolve) => {
    agent.on('error', (error) => resolve(error.message));
    agent.on('exit', (code, signal) => resolve(`it ended (${signal ?? code})`));
  });
  // Later than `exit`: when the last process that holds the streams has ended.
  const closed = new Promise((resolve) => agent.on('close', resolve));
  let log = '';
  const listening = new Promise<undefined>((resolve) => {
    for (const stream of [agent.stdout, agent.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (/No tasks in queue|pulled from/i.test(text)) resolve(undefined);
      });
    }
  });
  const guard = startGuard(agent, home);

  async function stop(): Promise<void> {
    agent.kill('SIGTERM'); // It takes itself off the server's list of workers.
    await Promise.race([exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    await kill();
  }

  async function kill(): Promise<void> {
    killGroup(agent);
    await closed;
    await rm(home, { recursive: true, force: true });
    await guard.release();
  }

  const timeout = sleep(START_TIMEOUT_MS, `nothing within ${START_TIMEOUT_MS / 1000} s`, { ref: false });
  const problem = await Promise.race([listening, exited, timeout]);
  if (problem !== undefined) {
    await stop();
    throw new Error(`clearml-agent does not listen to ${options.queue}: ${problem}\n${log.slice(-2000)}`);
  }
  return { workerId: options.workerId, log: () => log, stop, kill };
}

function usePrepared(python: string): Record<string, string> {
  return { CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL: '1', CLEARML_AGENT_SKIP_PIP_VENV_INSTALL: python };
}

/** With another home pip would find neither its cache nor its user's settings, a mirror's address among them. */
async function findPipSettings(python: string): Promise<Record<string, string>> {
  const cache = await runCommand(python, ['-m', 'pip', 'cache', 'dir']);
  const { PIP_CONFIG_FILE, XDG_CONFIG_HOME } = process.env;
  const configFile = [
    PIP_CONFIG_FILE,
    XDG_CONFIG_HOME && join(XDG_CONFIG_HOME, 'pip', 'pip.conf'),
    join(homedir(), 'Library', 'Application Support', 'pip', 'pip.conf'),
    join(homedir(), '.config', 'pip', 'pip.conf'),
    join(homedir(), '.pip', 'pip.conf'),
  ].find((file) => file !== undefined && existsSync(file));
  return {
    ...(cache?.exitCode === 0 ? { PIP_CACHE_DIR: cache.output.trim() } : {}),
    ...(configFile === undefined ? {} : { PIP_CONFIG_FILE: configFile }),
  };
}

/**
 * A shell that waits for a word on its input, which this process holds: where this process is killed, none comes, and it
 * ends the agent's group and removes its home.
 */
function startGuard(agent: ChildProcess, home: string): { release(): Promise<void> } {
  if (agent.pid === undefined) return { release: async () => undefined };
  // `-s` because dash takes no `--` after `-KILL`.
  const script = 'read -r _ && exit; kill -s KILL -- "-$1"; rm -rf -- "$2"';
  const guard = spawn('sh', ['-c', script, 'sh', String(agent.pid), home], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const ended = new Promise<void>((resolve) => guard.once('exit', () => resolve()));
  guard.unref();
  return {
    release() {
      guard.ref();
      if (!guard.stdin.writableEnded) guard.stdin.end('released\n');
      return ended;
    },
  };
}

function killGroup(agent: ChildProcess): void {
  if (agent.pid === undefined) return;
  try {
    process.kill(-agent.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
