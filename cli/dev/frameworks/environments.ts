import { fileURLToPath } from 'node:url';
import { runCommand } from '../command-run.ts';
import { preparePythonEnvironment } from '../python-environment.ts';

/** Frameworks that can stand beside each other; each has its `requirements-NAME.txt`. */
export const ENVIRONMENTS = ['front-ends', 'torch', 'vision', 'keras'] as const;

export type EnvironmentName = (typeof ENVIRONMENTS)[number];

/** A Python environment with frameworks in it. */
export interface Environment {
  readonly python: string;
  /** Of all that is installed, by name. */
  readonly versions: Readonly<Record<string, string>>;
}

const environments = new Map<EnvironmentName, Promise<Environment>>();

/** Made at the first call, which may take many minutes, and found again in `.cache` by later ones. */
export function prepareEnvironment(name: EnvironmentName): Promise<Environment> {
  const known = environments.get(name) ?? makeEnvironment(name);
  environments.set(name, known);
  return known;
}

async function makeEnvironment(name: EnvironmentName): Promise<Environment> {
  const requirementsFile = fileURLToPath(new URL(`requirements-${name}.txt`, import.meta.url));
  const { python } = await preparePythonEnvironment({ requirementsFile, tools: [] });
  const freeze = await runCommand(python, ['-m', 'pip', 'freeze']);
  const lines = (freeze?.output ?? '').matchAll(/^([\w.-]+)==(\S+)$/gm);
  return {
    python,
    versions: Object.fromEntries([...lines].map(([, key = '', version = '']) => [key, version])),
  };
}
