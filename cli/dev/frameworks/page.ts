import { readFileSync } from 'node:fs';

const PAGE = new URL('../../../templates/FRAMEWORKS.md', import.meta.url);

/** The fenced blocks of a language below a heading of the page for users, up to the next heading. */
export function listCode(heading: string, language: string): string[] {
  return [...readSection(heading).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, code = '']) =>
    name === language ? [code] : [],
  );
}

/** The cells of the first table below a heading, without its head. */
export function readTable(heading: string): string[][] {
  const lines = readSection(heading).split('\n');
  const start = lines.findIndex((line) => line.startsWith('| ---'));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 1, end < 0 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** From a heading to the next one. */
function readSection(heading: string): string {
  const text = readFileSync(PAGE, 'utf8');
  const start = text.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`the page has no heading "${heading}"`);
  const rest = text.slice(start + 1);
  const end = rest.search(/\n#{1,6} /);
  return end < 0 ? rest : rest.slice(0, end);
}
