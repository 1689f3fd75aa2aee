import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Config, ConfigIssue } from './config.ts';
import { describeReadError, describeSystemError, EXIT_CODES, Failure, readErrorCode } from './failure.ts';
import { findCheckoutRoot, readNamedFile } from './files.ts';
import { isRecord } from './record.ts';

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

/**
 * The settings that a file's text holds.
 *
 * @param name what the file is called in failures
 * @throws Failure (usage) that lists every mistake, each with its line
 */
export async function parseConfigText(name: string, text: string): Promise<Config> {
  // Loaded only where there is a file: yaml costs as much as all other packages of a launch together.
  const [{ LineCounter, parseDocument, isMap, isSeq, isScalar }, { parseConfig }] = await Promise.all([
    import('yaml'),
    import('./config.ts'),
  ]);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw failConfig(
      name,
      document.errors.map(
        (error) =>
          `line ${error.linePos?.[0].line ?? '?'}: ${error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? ''}`,
      ),
      'It is no valid YAML.',
    );
  }
  let content: unknown;
  try {
    // A handful of aliases is plenty for settings; more is an attempt to fill the memory.
    content = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw failConfig(name, [describeSystemError(cause)], 'It is no valid YAML.');
  }
  // A number as a hyperparameter is taken as it is written: 3.10 stays 3.10, and an id of 20 digits keeps them all.
  const params = isMap(document.contents) ? document.contents.get('params') : undefined;
  if (isMap(params) && isRecord(content) && isRecord(content.params)) {
    for (const { key, value } of params.items) {
      if (isScalar(key) && isScalar(value) && typeof value.value === 'number' && value.source !== undefined) {
        content.params[String(key.value)] = value.source;
      }
    }
  }
  const result = parseConfig(content);
  if ('config' in result) return result.config;

  const locate = ({ path: keys }: ConfigIssue): number => {
    let node: unknown = document.contents;
    let offset = hasRange(node) ? node.range[0] : 0;
    for (const key of keys) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
        if (pair === undefined) break;
        if (hasRange(pair.key)) offset = pair.key.range[0];
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(key)];
        if (hasRange(node)) offset = node.range[0];
      } else break;
    }
    return lines.linePos(offset).line;
  };
  const { distance } = await import('fastest-levenshtein');
  const suggest = ({ path: keys, knownKeys = [] }: ConfigIssue): string => {
    const key = String(keys.at(-1)).toLowerCase();
    const near = knownKeys.find((known) => distance(known, key) <= Math.max(1, known.length / 3));
    return near === undefined ? '' : `; did you mean ${near}?`;
  };
  throw failConfig(
    name,
    result.issues
      .map((issue) => ({
        line: locate(issue),
        text: `${formatPath(issue.path)} ${issue.message}${suggest(issue)}`,
      }))
      .sort((a, b) => a.line - b.line)
      .map(({ line, text: what }) => `line ${line}: ${what}`),
    'The README lists the settings; templates/clearml-ci.schema.json lets an editor check them.',
  );
}

function failConfig(name: string, mistakes: readonly string[], remedy: string): Failure {
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  return new Failure(`${name} has ${count}\n${mistakes.map((line) => `  ${name}: ${line}`).join('\n')}`, {
    exitCode: EXIT_CODES.usage,
    remedy,
  });
}

/** `metrics[0].goal` */
function formatPath(path: ReadonlyArray<string | number>): string {
  if (path.length === 0) return 'the file';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${key}`))
    .join('');
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
