import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sandbox, startSandbox } from '../../sandbox/sandbox.ts';
import { type ClearmlDriver, createClearmlDriver } from '../clearml-driver.ts';
import { createScratchRepository } from '../scratch-repository.ts';
import { type CountingProxy, type Distance, startCountingProxy } from './counting-proxy.ts';
import { createCertificate } from './long-line.ts';

const PULL = 7;
const ORIGINAL = fileURLToPath(new URL('original.py', import.meta.url));
const TRAINING = fileURLToPath(new URL('../../../train_model.py', import.meta.url));

/** The counting proxies that a step is led through, in front of the same two servers. */
export interface Way {
  readonly toClearml: CountingProxy;
  readonly toGithub: CountingProxy;
  /** What makes a program trust them. */
  readonly env: Readonly<Record<string, string>>;
}

/** A pull request's checkout as a job of GitHub Actions has it, and the servers. */
export interface Checkout {
  readonly directory: string;
  readonly driver: ClearmlDriver;
  /** Without delay. */
  readonly near: Way;
  /** Each request set out 50 ms late. */
  readonly far: Way;
  /** Over TLS with real handshakes, each round trip 50 ms. */
  readonly farTls: Way;
  /** Pushes a commit with code of its own to the pull request, and checks it out: what was trained before is not reused. */
  push(): Promise<void>;
  /** What the runner sets for a step of that pull request's job, or of the base branch's. */
  makeEnv(way: Way, event?: 'pull_request' | 'push' | 'schedule'): Record<string, string>;
  /** What a later step reads: `name=value` lines that the last step wrote. */
  readOutputs(): string;
  close(): Promise<void>;
}

/** Of a server some thousand kilometres away. */
export const FAR_MS = 50;

/** Starts the servers and makes the repository below `directory`, on its base branch. */
export async function createCheckout(directory: string): Promise<Checkout> {
  const repository = createScratchRepository();
  copyFileSync(ORIGINAL, join(repository.directory, 'original.py'));
  copyFileSync(TRAINING, join(repository.directory, 'train_model.py'));
  repository.git('remote', 'add', 'origin', 'https://github.com/acme/digits.git');
  repository.commit('A training', { 'README.md': 'Digits\n' });
  repository.git('branch', 'topic');
  const sandbox: Sandbox = await startSandbox({
    github: {
      gitDir: repository.directory,
      pulls: [{ number: PULL, headRef: 'topic', baseRef: 'main' }],
      requestsPerHour: Number.MAX_SAFE_INTEGER,
    },
  });
  const { clearml, github } = sandbox;
  const startWay = async (distance: Distance, env: Way['env'] = {}): Promise<Way> => ({
    toClearml: await startCountingProxy(clearml.apiHost, distance),
    toGithub: await startCountingProxy(github.apiUrl, distance),
    env,
  });
  const near = await startWay({});
  const far = await startWay({ latencyMs: FAR_MS });
  const certificate = await createCertificate();
  const authority = join(directory, 'authority.pem');
  writeFileSync(authority, certificate.cert);
  const farTls = await startWay(
    { tls: { roundTripMs: FAR_MS, certificate } },
    { NODE_EXTRA_CA_CERTS: authority, REQUESTS_CA_BUNDLE: authority, SSL_CERT_FILE: authority },
  );
  const eventFile = join(directory, 'event.json');
  const outputFile = join(directory, 'output');
  const summaryFile = join(directory, 'summary');
  // No settings of whoever runs this (clearml.conf), as on a runner.
  const home = join(directory, 'home');
  mkdirSync(home, { recursive: true });
  let commits = 0;
  return {
    directory: repository.directory,
    driver: createClearmlDriver(clearml.env),
    near,
    far,
    farTls,
    async push() {
      commits += 1;
      repository.git('checkout', '--quiet', 'topic');
      repository.commit(`Change ${commits}`, { 'change.txt': `${commits}\n` });
      writeFileSync(eventFile, JSON.stringify(await github.pullRequestEvent(PULL, 'synchronize')));
    },
    makeEnv({ toClearml, toGithub, env }, event = 'pull_request') {
      const isOnBase = event !== 'pull_request';
      if (isOnBase) writeFileSync(eventFile, '{}');
      writeFileSync(outputFile, '');
      writeFileSync(summaryFile, '');
      return {
        ...sandbox.env,
        ...env,
        PATH: process.env.PATH ?? '',
        HOME: home,
        CLEARML_API_HOST: toClearml.url,
        GITHUB_API_URL: toGithub.url,
        GITHUB_ACTIONS: 'true',
        GITHUB_EVENT_NAME: event,
        GITHUB_EVENT_PATH: eventFile,
        GITHUB_OUTPUT: outputFile,
        GITHUB_STEP_SUMMARY: summaryFile,
        GITHUB_SHA: repository.git('rev-parse', 'HEAD'),
        GITHUB_REF: isOnBase ? 'refs/heads/main' : `refs/pull/${PULL}/merge`,
        GITHUB_REF_NAME: isOnBase ? 'main' : `${PULL}/merge`,
        GITHUB_RUN_ID: String(1000 + commits),
        GITHUB_RUN_ATTEMPT: '1',
        GITHUB_WORKFLOW: 'ClearML CI/CD',
        GITHUB_JOB: 'train',
        ...(event === 'schedule' ? {} : { PR_NUMBER: String(PULL) }),
      };
    },
    readOutputs: () => readFileSync(outputFile, 'utf8'),
    async close() {
      for (const { toClearml, toGithub } of [near, far, farTls])
        await Promise.all([toClearml.close(), toGithub.close()]);
      await sandbox.close();
      repository.remove();
    },
  };
}
