import { readFileSync } from 'node:fs';

const PAGE = new URL('../../../templates/FRAMEWORKS.md', import.meta.url);

/** The fenced blocks of a language below a heading of the page for users, up to the next heading. */
export function listCode(heading: string, language: string): string[] {
  const text = readFileSync(PAGE, 'utf8');
  const start = text.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`the page has no heading "${heading}"`);
  const rest = text.slice(start + 1);
  const end = rest.search(/\n#{1,6} /);
  const section = end < 0 ? rest : rest.slice(0, end);
  return [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, code = '']) =>
    name === language ? [code] : [],
  );
}
