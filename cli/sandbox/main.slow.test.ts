import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'dotenv';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface RunningSandbox {
  env: Record<string, string>;
  stderr: string;
  /** Sends the signal and gives the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `npm run sandbox`'s program and waits until it has said all it says, or has ended. */
async function start(cwd: string, ...args: string[]): Promise<RunningSandbox & { exitCode: number | null }> {
  const program = join(ROOT, 'cli/sandbox/main.ts');
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), program, ...args], { cwd });
  const texts = { stdout: '', stderr: '' };
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const ready = new Promise<null>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      texts.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      texts.stderr += text;
      if (texts.stderr.includes('Ctrl-C')) resolve(null);
    });
  });
  const exitCode = await Promise.race([exited, ready]);
  return {
    env: parse(texts.stdout),
    stderr: texts.stderr,
    exitCode,
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

async function askGithub(env: Record<string, string>, path: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${env.GITHUB_API_URL}/repos/${env.GITHUB_REPOSITORY}${path}`, {
    headers: { authorization: `Bearer ${env.GH_TOKEN}`, 'user-agent': 'test' },
  });
  return (await response.json()) as Record<string, unknown>;
}

const made: { repository?: ScratchRepository; empty: string } = { empty: '' };
beforeAll(() => {
  made.repository = createScratchRepository();
  made.empty = mkdtempSync(join(tmpdir(), 'clearml-ci-empty-'));
});
afterAll(() => {
  made.repository?.remove();
  rmSync(made.empty, { recursive: true, force: true });
});

test('the sandbox prints the lines for .env, serves the repository it is in, and ends with 0 when interrupted', async () => {
  const repository = made.repository as ScratchRepository;
  repository.commit('Base', { 'train.py': 'print(1)\n' });
  repository.git('checkout', '--quiet', '-b', 'topic');
  const head = repository.commit('Change', { 'train.py': 'print(2)\n' });

  const sandbox = await start(repository.directory);
  expect(Object.keys(sandbox.env).sort()).toEqual([
    'CLEARML_API_ACCESS_KEY',
    'CLEARML_API_HOST',
    'CLEARML_API_SECRET_KEY',
    'CLEARML_FILES_HOST',
    'CLEARML_WEB_HOST',
    'GH_TOKEN',
    'GITHUB_API_URL',
    'GITHUB_REPOSITORY',
    'GITHUB_SERVER_URL',
    'PR_NUMBER',
  ]);
  expect(sandbox.stderr).toContain('stand-in for ClearML and GitHub');
  expect(sandbox.stderr).toContain('Pull request 1 (topic to main)');
  const headers = { authorization: `Basic ${btoa(keysOf(sandbox.env))}` };
  const queues = await fetch(`${sandbox.env.CLEARML_API_HOST}/queues.get_all`, { method: 'POST', headers });
  expect(queues.status).toBe(200);
  expect(await askGithub(sandbox.env, '/pulls/1')).toMatchObject({
    head: { ref: 'topic', sha: head },
    commits: 1,
  });

  const next = repository.commit('Another change', { 'train.py': 'print(3)\n' });
  expect(await askGithub(sandbox.env, '/pulls/1')).toMatchObject({ head: { sha: next }, commits: 2 });
  expect(await sandbox.end('SIGINT')).toBe(0);
  await expect(fetch(`${sandbox.env.GITHUB_API_URL}/`)).rejects.toThrow();
});

function keysOf(env: Record<string, string>): string {
  return `${env.CLEARML_API_ACCESS_KEY}:${env.CLEARML_API_SECRET_KEY}`;
}

test('outside a repository the sandbox has a pull request all the same, and SIGTERM ends it with 0', async () => {
  const sandbox = await start(made.empty);
  expect(await askGithub(sandbox.env, '/pulls/1')).toMatchObject({ number: 1, head: { ref: 'sandbox' } });
  expect(await sandbox.end('SIGTERM')).toBe(0);
});

test('a directory that is named and is no repository is a usage error', async () => {
  const sandbox = await start(made.empty, '--repo-dir', made.empty);
  expect(sandbox.exitCode).toBe(2);
  expect(sandbox.stderr).toContain(`error: ${made.empty} is not a git repository with a commit`);
});
