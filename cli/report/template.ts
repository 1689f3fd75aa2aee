import mustache from 'mustache';
import { describeReadError, EXIT_CODES, Failure } from '../shell/failure.ts';
import { readNamedFile, readOwnFile } from '../shell/files.ts';

/** The names that a template may contain. */
export const PLACEHOLDERS = [
  'heading',
  'lead',
  'notices',
  'cause',
  'log',
  'gate',
  'judgement',
  'metrics',
  'more-metrics',
  'more-metrics-count',
  'training',
  'training-count',
  'legend',
  'curves',
  'more-curves',
  'more-curves-count',
  'params',
  'environment',
  'differences-count',
  'plots',
  'plots-count',
  'details',
  'left-out',
  'name',
  'status',
  'verdict',
  'commit',
  'branch',
  'task-id',
  'task-url',
  'baseline-name',
] as const;

/** Placeholders that take a name: `{{metric: title/series}}`. */
export const PLACEHOLDER_FUNCTIONS = ['metric', 'baseline', 'change', 'param'] as const;

/** The Markdown of each placeholder: safe in any position, and empty if there is nothing to show. */
export type TemplateView = Readonly<Record<(typeof PLACEHOLDERS)[number], string>>;

/** Placeholders with an argument: `{{metric: test_accuracy/accuracy}}`. */
export type TemplateFunctions = Readonly<
  Record<(typeof PLACEHOLDER_FUNCTIONS)[number], (argument: string) => string>
>;

/** Renders a valid template. */
export type RenderTemplate = (view: TemplateView, functions: TemplateFunctions) => string;

export type Templates = Readonly<Record<'comment' | 'summary', RenderTemplate>>;

/**
 * Reads the templates of the comment and of the job summary.
 *
 * @param path the user's own template of the comment
 * @throws Failure (usage) if it can't be read or used
 */
export async function readTemplates(cwd: string, path: string | undefined): Promise<Templates> {
  const readOwn = (name: Parameters<typeof readOwnFile>[0]) => compileTemplate(name, readOwnFile(name));
  return {
    comment: path === undefined ? readOwn('templates/comment.md') : await readUsersTemplate(cwd, path),
    summary: readOwn('templates/summary.md'),
  };
}

async function readUsersTemplate(cwd: string, name: string): Promise<RenderTemplate> {
  try {
    return compileTemplate(name, await readNamedFile(cwd, name));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(`the template ${name} ${describeReadError(cause)}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Set --template to a file, relative to the working directory; templates/comment.md is a good start.',
      cause,
    });
  }
}

/** Prefix of the names that calls have inside Mustache: a private-use character that templates do not contain. */
const CALL_PREFIX = '\ue000';
const CALL = /\{\{\{?\s*([a-z][a-z-]*)\s*:\s*([^{}\n]*?)\s*\}?\}\}/g;

/**
 * Compiles a Mustache template: `{{name}}`, `{{name: argument}}`, and `{{#name}}…{{/name}}`, which is shown only if `name`
 * has something to show (`{{^name}}…{{/name}}`: only if not).
 *
 * @param template the file's name, for messages
 * @throws Failure (usage) if the template is malformed or contains an unknown name
 */
export function compileTemplate(template: string, source: string): RenderTemplate {
  const calls: Array<{ readonly name: string; readonly argument: string }> = [];
  const text = source.replace(CALL, (_, name: string, argument: string) => {
    calls.push({ name, argument });
    return `{{${CALL_PREFIX}${calls.length}}}`;
  });
  let tokens: unknown;
  try {
    tokens = mustache.parse(text);
  } catch (cause) {
    throw failTemplate(template, cause instanceof Error ? cause.message : String(cause));
  }
  const placeholders: readonly string[] = PLACEHOLDERS;
  const functionNames: readonly string[] = PLACEHOLDER_FUNCTIONS;
  const unknown = [
    ...listNames(tokens).filter((name) => !placeholders.includes(name) && !name.startsWith(CALL_PREFIX)),
    ...calls.filter(({ name }) => !functionNames.includes(name)).map(({ name }) => `${name}:`),
  ];
  if (unknown.length > 0) {
    const names = [...new Set(unknown)].map((name) => `{{${name}}}`).join(', ');
    throw failTemplate(template, `there is no placeholder ${names}`);
  }
  return (view, functions) => {
    const results = calls.map(({ name, argument }, index) => [
      `${CALL_PREFIX}${index + 1}`,
      functions[name as keyof TemplateFunctions](argument),
    ]);
    const rendered = mustache.render(text, { ...view, ...Object.fromEntries(results) }, undefined, {
      // The view contains only safe Markdown.
      escape: String,
    });
    // Empty parts leave gaps.
    return `${rendered.replace(/\n{3,}/g, '\n\n').trim()}\n`;
  };
}

/** Every name in Mustache's own tree of a template: [type, name, start, end, children…]. */
function listNames(tokens: unknown): string[] {
  if (!Array.isArray(tokens)) return [];
  return tokens.flatMap((token): string[] => {
    if (!Array.isArray(token)) return [];
    const [type, name, , , children] = token as unknown[];
    if (type === 'text' || type === '!') return [];
    const label = type === '>' ? `> ${String(name)}` : String(name);
    return [label, ...listNames(children)];
  });
}

function failTemplate(template: string, what: string): Failure {
  const names = PLACEHOLDERS.map((name) => `{{${name}}}`).join(', ');
  const functions = PLACEHOLDER_FUNCTIONS.map((name) => `{{${name}: …}}`).join(', ');
  return new Failure(`the template ${template} cannot be used: ${what}`, {
    exitCode: EXIT_CODES.usage,
    remedy: `Placeholders are ${names}, and with an argument ${functions}.`,
  });
}
