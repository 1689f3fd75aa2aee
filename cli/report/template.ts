import { EXIT_CODES, Failure } from '../shell/failure.ts';

/**
 * What a template can show: each name with its Markdown, which is safe wherever it stands, and empty where there is
 * nothing to show.
 */
export type TemplateView = Readonly<Record<string, string>>;

/** Placeholders with an argument: `{{metric: test_accuracy/accuracy}}`. */
export type TemplateFunctions = Readonly<Record<string, (argument: string) => string>>;

export interface Template {
  /** As a person would find the file. */
  readonly name: string;
  readonly text: string;
}

/** A template that was read and found good. */
export type RenderTemplate = (view: TemplateView, functions: TemplateFunctions) => string;

/** Begins the names that calls have inside Mustache: a sign for private use, which nobody types. */
const CALL_PREFIX = '\ue000';
const CALL = /\{\{\{?\s*([a-z][a-z-]*)\s*:\s*([^{}\n]*?)\s*\}?\}\}/g;

/**
 * Reads a Mustache template: `{{name}}`, `{{name: argument}}`, and `{{#name}}…{{/name}}`, which is shown only where
 * `name` has something to show (`{{^name}}…{{/name}}`: only where not).
 *
 * @param known the names of the view and of its functions
 * @throws Failure (usage) when the template is malformed or asks for a name that does not exist
 */
export async function compileTemplate(
  template: Template,
  known: { readonly names: readonly string[]; readonly functions: readonly string[] },
): Promise<RenderTemplate> {
  const { default: mustache } = await import('mustache');
  const calls: Array<{ readonly name: string; readonly argument: string }> = [];
  const text = template.text.replace(CALL, (_, name: string, argument: string) => {
    calls.push({ name, argument });
    return `{{${CALL_PREFIX}${calls.length}}}`;
  });
  let tokens: unknown;
  try {
    tokens = mustache.parse(text);
  } catch (cause) {
    throw failTemplate(template, cause instanceof Error ? cause.message : String(cause), known);
  }
  const unknown = [
    ...listNames(tokens).filter((name) => !known.names.includes(name) && !name.startsWith(CALL_PREFIX)),
    ...calls.filter(({ name }) => !known.functions.includes(name)).map(({ name }) => `${name}:`),
  ];
  if (unknown.length > 0) {
    throw failTemplate(
      template,
      `there is no placeholder ${[...new Set(unknown)].map((name) => `{{${name}}}`).join(', ')}`,
      known,
    );
  }
  return (view, functions) => {
    const results = calls.map(({ name, argument }, index) => [
      `${CALL_PREFIX}${index + 1}`,
      functions[name]?.(argument) ?? '',
    ]);
    const rendered = mustache.render(text, { ...view, ...Object.fromEntries(results) }, undefined, {
      // Everything in the view is Markdown that is safe already.
      escape: String,
    });
    // What was left out leaves gaps.
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

function failTemplate(
  template: Template,
  what: string,
  known: { readonly names: readonly string[]; readonly functions: readonly string[] },
): Failure {
  return new Failure(`the template ${template.name} cannot be used: ${what}`, {
    exitCode: EXIT_CODES.usage,
    remedy: `Placeholders are ${known.names.map((name) => `{{${name}}}`).join(', ')}, and with an argument ${known.functions.map((name) => `{{${name}: …}}`).join(', ')}.`,
  });
}
