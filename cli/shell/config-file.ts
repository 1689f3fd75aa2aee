import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Config } from './config.ts';
import { describeReadError, Failure, failUsage, readErrorCode } from './failure.ts';
import { findCheckoutRoot, readNamedFile } from './files.ts';

const DEFAULT_PATH = '.github/clearml-ci.yml';

/**
 * The settings file's path in its repository, with forward slashes; undefined where the file is outside.
 *
 * @param path value of `--config`
 */
export function locateConfigFile(cwd: string, path: string | undefined): string | undefined {
  const parts = relative(findCheckoutRoot(cwd), resolve(cwd, path ?? DEFAULT_PATH)).split(sep);
  return parts[0] === '..' || isAbsolute(parts.join(sep)) ? undefined : parts.join('/');
}

/**
 * Reads the settings file. The default file may be missing, a named file may not.
 *
 * @param path value of `--config`
 * @param say gets a hint where only the repository's root has the default file
 * @throws Failure (usage) that lists every mistake with its line
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
          `No settings file in this folder, so the defaults apply. To use the one at the root: --config ${name}`,
        );
      }
      return {};
    }
    throw failUsage(
      `the settings file ${name} ${describeReadError(cause)}`,
      'Give the path of the settings file relative to the working directory, or leave --config out.',
      cause,
    );
  }
  return parseConfigText(name, text);
}

/** `parseConfigYaml`, loaded only where there is a file: yaml takes as long to load as all other packages of a launch. */
export async function parseConfigText(name: string, text: string): Promise<Config> {
  const { parseConfigYaml } = await import('./config-yaml.ts');
  return parseConfigYaml(name, text);
}
