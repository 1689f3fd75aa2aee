import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A picture's address in `cli/README.md`. */
export function locatePicture(name: string): string {
  return `../.github/assets/${name}`;
}

export function writePicture(name: string, picture: string): void {
  writeFileSync(join(ROOT, 'cli', locatePicture(name)), picture);
}

/** Puts a text between the marks `<!-- NAME -->` and `<!-- /NAME -->` of `cli/README.md`. @throws Error if they are missing */
export function writeReadmePart(name: string, text: string): void {
  const path = join(ROOT, 'cli', 'README.md');
  const readme = readFileSync(path, 'utf8');
  const marked = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`);
  if (!marked.test(readme))
    throw new Error(`cli/README.md has no place for it: <!-- ${name} --> … <!-- /${name} -->`);
  writeFileSync(
    path,
    readme.replace(marked, (_, begin: string, end: string) => `${begin}${text}\n${end}`),
  );
}

/** A Markdown table; the first row is its head. Columns of numbers stand to the right; default: all but the first. */
export function formatTable(
  rows: ReadonlyArray<readonly string[]>,
  isNumber = (column: number) => column > 0,
): string[] {
  const [head = [], ...body] = rows;
  const rule = head.map((_, index) => (isNumber(index) ? '---:' : '---'));
  return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`);
}
