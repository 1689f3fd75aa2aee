import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Config } from './config.ts';
import { describeReadError, EXIT_CODES, Failure, readErrorCode } from './failure.ts';
import { findCheckoutRoot, readNamedFile } from './files.ts';

const DEFAULT_PATH = '.github/clearml-ci.yml';

/**
 * Where the settings file lies in its repository, whose root is the nearest folder above that holds `.git`, else the
 * working directory.
 *
 * @param path as the user gave it with `--config`
 * @returns with forward slashes; undefined where the file lies outside
 */
export function locateConfigFile(cwd: string, path: string | undefined): string | undefined {
  const parts = relative(findCheckoutRoot(cwd), resolve(cwd, path ?? DEFAULT_PATH)).split(sep);
  return parts[0] === '..' || isAbsolute(parts.join(sep)) ? undefined : parts.join('/');
}

/**
 * Reads the settings file. The default one may be missing; one that was named may not.
 *
 * @param path as the user gave it with `--config`
 * @param say told where the default one is missing here, but not at the repository's root
 * @throws Failure (usage) that lists every mistake, each with its line
 */
export async function readConfigFile(
  cwd: string,
  path: string | undefined,
  say: (text: string) => void = () => undefined,
): Promise<Config> {
  const name = path ?? DEFAULT_PATH;
  let text: string;
  try {
    text = await readNamedFile(cwd, name);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    if (path === undefined && readErrorCode(cause) === 'ENOENT') {
      const other = join(findCheckoutRoot(cwd), DEFAULT_PATH);
      if (existsSync(other)) {
        const name = relative(cwd, other).split(sep).join('/');
        say(
          `No settings file in this folder, so the defaults hold; there is one at ${name}: --config ${name}`,
        );
      }
      return {};
    }
    throw new Failure(`the settings file ${name} ${describeReadError(cause)}`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give the path of the settings file relative to the working directory, or leave --config out.',
      cause,
    });
  }
  return parseConfigText(name, text);
}

/** What `parseConfigYaml` does, loaded only where there is a file: yaml costs as much as all other packages of a launch. */
export async function parseConfigText(name: string, text: string): Promise<Config> {
  const { parseConfigYaml } = await import('./config-yaml.ts');
  return parseConfigYaml(name, text);
}
