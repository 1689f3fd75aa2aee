import { type ClearmlSandbox, type ClearmlSandboxOptions, startClearmlSandbox } from './clearml-server.ts';
import { type GithubSandbox, type GithubSandboxOptions, startGithubSandbox } from './github-server.ts';

/** Both halves of the sandbox, running. */
export interface Sandbox {
  readonly clearml: ClearmlSandbox;
  readonly github: GithubSandbox;
  /** The variables that lead the programs to it, credentials included. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export interface SandboxOptions {
  readonly clearml?: ClearmlSandboxOptions;
  readonly github?: GithubSandboxOptions;
}

/** Starts an embedded ClearML and GitHub on free ports of 127.0.0.1, with state in memory that ends with them. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const clearml = await startClearmlSandbox(options.clearml);
  try {
    const github = await startGithubSandbox(options.github);
    return {
      clearml,
      github,
      env: { ...clearml.env, ...github.env },
      async close() {
        await Promise.all([clearml.close(), github.close()]);
      },
    };
  } catch (error) {
    await clearml.close();
    throw error;
  }
}
