import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { Command } from 'commander';
import type { SandboxPull } from './github-pulls.ts';
import type { GithubSandboxOptions } from './github-server.ts';
import { startSandbox } from './sandbox.ts';

const PULL_NUMBER = 1;

/** Git's answer in a directory; `undefined` where git refuses or is not there. */
async function askGit(directory: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('git', ['-C', directory, ...args]);
    return stdout.trim();
  } catch {
    return undefined;
  }
}

/** The GitHub half as a repository sees it: its present branch is the pull request's, to `main` or else `master`. */
async function describeRepository(directory: string): Promise<GithubSandboxOptions | undefined> {
  const headSha = await askGit(directory, 'rev-parse', '--verify', '--quiet', 'HEAD^{commit}');
  if (headSha === undefined) return undefined;
  const isMaster =
    (await askGit(directory, 'rev-parse', '--verify', '--quiet', 'refs/heads/main')) === undefined &&
    (await askGit(directory, 'rev-parse', '--verify', '--quiet', 'refs/heads/master')) !== undefined;
  const defaultBranch = isMaster ? 'master' : 'main';
  const branch = await askGit(directory, 'symbolic-ref', '--quiet', '--short', 'HEAD');
  // A pull request needs a branch of its own: on the base branch, and without a branch, the present commit gets one.
  const pull: SandboxPull =
    branch === undefined || branch === defaultBranch
      ? { number: PULL_NUMBER, headRef: 'sandbox', headSha, baseRef: defaultBranch }
      : { number: PULL_NUMBER, headRef: branch, baseRef: defaultBranch };
  return { gitDir: directory, defaultBranch, pulls: [pull] };
}

function waitForSignal(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
  });
}

async function main(): Promise<void> {
  const command = new Command('sandbox')
    .description(
      'Runs an embedded ClearML and GitHub on loopback, for trying the programs without accounts. State is in memory.\n' +
        'stdout is the lines for .env; it runs until interrupted.',
    )
    .option('--repo-dir <directory>', "git repository whose commits GitHub's half answers for", '.')
    .addHelpText('after', '\nExample:\n  npm run --silent sandbox > .env')
    .parse();
  const directory = resolve(command.opts<{ repoDir: string }>().repoDir);
  const described = await describeRepository(directory);
  if (described === undefined && command.getOptionValueSource('repoDir') !== 'default') {
    command.error(`error: ${directory} is not a git repository with a commit`, { exitCode: 2 });
  }
  const github = described ?? { pulls: [{ number: PULL_NUMBER, headRef: 'sandbox', baseRef: 'main' }] };
  const [pull] = github.pulls ?? [];

  const stopped = waitForSignal();
  const sandbox = await startSandbox({ github });
  for (const [name, value] of Object.entries({ ...sandbox.env, PR_NUMBER: String(PULL_NUMBER) })) {
    process.stdout.write(`${name}=${value}\n`);
  }
  process.stderr.write(
    `This is the sandbox, a stand-in for ClearML and GitHub on this machine only: nothing leaves it.\n` +
      `Pull request ${PULL_NUMBER} (${pull?.headRef} to ${pull?.baseRef}): ` +
      `${sandbox.github.serverUrl}/${sandbox.github.repository}/pull/${PULL_NUMBER}\n` +
      `The lines on stdout belong in .env. Ctrl-C stops it; what it holds is gone then.\n` +
      `To train what is launched, in another terminal (with pip's clearml-agent and git):\n` +
      `  env $(cat .env) clearml-agent daemon --foreground --queue default\n`,
  );
  await stopped;
  await sandbox.close();
}

await main();
