import { distance } from 'fastest-levenshtein';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { type Config, type ConfigIssue, parseConfig } from './config.ts';
import { describeSystemError, EXIT_CODES, Failure } from './failure.ts';
import { isRecord } from './json.ts';

/**
 * Parses and checks the text of a settings file.
 *
 * @param name the file's name in messages
 * @throws Failure (usage) that lists every mistake with its line
 */
export function parseConfigYaml(name: string, text: string): Config {
  const lines = new LineCounter();
  // Keys are names: 1.10 is not 1.1, and True is not true.
  const document = parseDocument(text, { lineCounter: lines, stringKeys: true });
  if (document.errors.length > 0) {
    const mistakes = document.errors.map(({ linePos, message, code }) => ({
      line: linePos?.[0].line,
      message:
        code === 'NON_STRING_KEY'
          ? 'a key must be a text: no list, mapping or alias'
          : (message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? ''),
    }));
    throw failConfig(name, mistakes, NOT_YAML);
  }
  const result = parseConfig(readContent(name, document));
  if ('config' in result) return result.config;
  const mistakes = result.issues
    .map((issue) => ({ issue, line: lines.linePos(findOffset(document, issue.path)).line }))
    .sort((a, b) => a.line - b.line)
    .map(({ issue, line }) => ({
      line,
      message: `${formatPath(issue.path)} ${issue.message}${suggestKey(issue)}`,
    }));
  const remedy =
    "clearml-ci-cd's templates/README.md describes all settings. An editor can check them with templates/clearml-ci.schema.json.";
  throw failConfig(name, mistakes, remedy);
}

const NOT_YAML = 'The settings file must be valid YAML.';

function failConfig(
  name: string,
  mistakes: ReadonlyArray<{ readonly line: number | undefined; readonly message: string }>,
  remedy: string,
): Failure {
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  const list = mistakes.map(
    ({ line, message }) => `  ${name}: ${line === undefined ? '' : `line ${line}: `}${message}`,
  );
  return new Failure([`${name} has ${count}`, ...list].join('\n'), {
    exitCode: EXIT_CODES.usage,
    remedy,
    notes: mistakes.map((mistake) => ({ ...mistake, file: name })),
  });
}

function readContent(name: string, document: Document.Parsed): unknown {
  let content: unknown;
  try {
    // Settings need few aliases. Many nested ones can expand until the memory is full.
    content = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw failConfig(name, [{ line: undefined, message: describeSystemError(cause) }], NOT_YAML);
  }
  const params = isMap(document.contents) ? document.contents.get('params', true) : undefined;
  if (isRecord(content)) keepSpelling(params, content.params, document);
  return content;
}

/** A param's value keeps its spelling: 3.10 stays 3.10, True stays True, and an id of 20 digits keeps all of them. */
function keepSpelling(node: unknown, content: unknown, document: Document.Parsed, isTyped = false): void {
  const resolve = (other: unknown) => (isAlias(other) ? other.resolve(document) : other);
  const map = resolve(node);
  if (!isMap(map) || !isRecord(content)) return;
  for (const { key, value } of map.items) {
    const [name, given] = [isScalar(key) ? String(key.value) : '', resolve(value)];
    if (isMap(given) && !isTyped) keepSpelling(given, content[name], document, true);
    if (!isScalar(given) || given.source === undefined) continue;
    const isRespelt = typeof given.value === 'boolean' && given.source !== String(given.value);
    if (typeof given.value === 'number' || isRespelt) content[name] = given.source;
  }
}

/** Offset of the path's last key in the text, or of its nearest ancestor that is there. */
function findOffset({ contents }: Document.Parsed, path: ConfigIssue['path']): number {
  let node = contents;
  let offset = node?.range[0] ?? 0;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) break;
      offset = pair.key.range[0];
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)] ?? null;
      offset = node?.range[0] ?? offset;
    } else break;
  }
  return offset;
}

/** `metrics[0].goal` */
function formatPath(path: ConfigIssue['path']): string {
  if (path.length === 0) return 'the file';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${key}`))
    .join('');
}

/** `; did you mean queue?` for a key that nearly matches a setting, else nothing. */
function suggestKey({ path, knownKeys = [] }: ConfigIssue): string {
  const key = String(path.at(-1)).toLowerCase();
  const sort = (text: string) => [...text].sort().join('');
  // Swapped letters are one slip, but two changes.
  const measure = (known: string) => (sort(known) === sort(key) ? 1 : distance(known, key));
  const [near] = knownKeys
    .map((known) => ({ known, far: measure(known) }))
    // A setting of another form, as `runs` beside `task`, is not what was meant.
    .filter(({ known, far }) => known !== path.at(-1) && far <= Math.max(1, known.length / 3))
    .sort((a, b) => a.far - b.far);
  return near === undefined ? '' : `; did you mean ${near.known}?`;
}
