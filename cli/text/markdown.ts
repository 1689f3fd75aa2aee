import type { Nodes, Paragraph, PhrasingContent } from 'mdast';
import { gfmTableToMarkdown } from 'mdast-util-gfm-table';
import { toMarkdown } from 'mdast-util-to-markdown';
import type { Phrase } from './phrase.ts';
import { toQuotation, toQuotedLines } from './quotation.ts';

// Markdown for GitHub. A serialiser escapes everything; foreign text becomes a code span or a fenced block.

/** A column of a table. */
export interface Column {
  readonly title: Phrase;
  readonly align?: 'right';
}

/** A line of text, safe in any position of a template. */
export function writeLine(phrase: Phrase): string {
  // In a table a bar would end the cell.
  return write(toParagraph(replaceBars(phrase)));
}

/** A heading of that depth. */
export function writeHeading(depth: 1 | 2 | 3 | 4, phrase: Phrase): string {
  return write({ type: 'heading', depth, children: toPhrasing(phrase) });
}

/** A table; empty without rows. */
export function writeTable(columns: readonly Column[], rows: ReadonlyArray<readonly Phrase[]>): string {
  if (rows.length === 0) return '';
  const plain = rows.map(writePlainRow);
  const others = rows.filter((_, index) => plain[index] === undefined);
  const [title = '', rule = '', ...written] = write({
    type: 'table',
    align: columns.map(({ align }) => align ?? null),
    children: [columns.map((column) => column.title), ...others].map((row) => ({
      type: 'tableRow',
      children: row.map((cell) => ({ type: 'tableCell', children: toPhrasing(cell) })),
    })),
  }).split('\n');
  return [title, rule, ...plain.map((line) => line ?? written.shift())].join('\n');
}

/**
 * A row as the serialiser writes it, where no cell has anything to escape; else undefined. A summary has thousands of rows,
 * and the serialiser takes half of its time.
 */
function writePlainRow(row: readonly Phrase[]): string | undefined {
  const cells: string[] = [];
  for (const phrase of row) {
    const cell = phrase.length === 0 ? '' : writePlainPart(phrase);
    if (cell === undefined) return undefined;
    cells.push(cell === '' ? '| ' : `| ${cell} `);
  }
  return `${cells.join('')}|`;
}

function writePlainPart([part, ...others]: Phrase): string | undefined {
  if (part === undefined || others.length > 0) return undefined;
  if (typeof part === 'string') return /^[A-Za-z0-9]+(?:\.[0-9]+)?$/.test(part) ? part : undefined;
  if ('code' in part) {
    const text = toQuotation(part.code);
    return /^[^\s`|](?:[^\r\n`|]*[^\s`|])?$/.test(text) ? `\`${text}\`` : undefined;
  }
  const inner = 'strong' in part ? writePlainPart(part.strong) : undefined;
  return inner === undefined || inner.startsWith('`') || inner.startsWith('*') ? undefined : `**${inner}**`;
}

/** A list with bullets. */
export function writeList(items: readonly Phrase[]): string {
  return write({
    type: 'list',
    ordered: false,
    spread: false,
    children: items.map((item) => ({ type: 'listItem', spread: false, children: [toParagraph(item)] })),
  });
}

/** Foreign text in a fenced block. */
export function writeQuotedBlock(text: string): string {
  return write({ type: 'code', lang: 'text', value: toQuotedLines(text).join('\n') });
}

/** A fenced block of ours, in a language. */
export function writeCodeBlock(language: string, text: string): string {
  return write({ type: 'code', lang: language, value: text });
}

function write(node: Nodes): string {
  return toMarkdown(node, {
    bullet: '-',
    fences: true,
    rule: '-',
    // No padding: blanks count towards the 65,536 characters too.
    extensions: [gfmTableToMarkdown({ tablePipeAlign: false })],
  }).trimEnd();
}

function toParagraph(phrase: Phrase): Paragraph {
  return { type: 'paragraph', children: toPhrasing(phrase) };
}

function toPhrasing(phrase: Phrase): PhrasingContent[] {
  return phrase.map((part): PhrasingContent => {
    if (typeof part === 'string') return { type: 'text', value: part };
    if ('code' in part) return { type: 'inlineCode', value: toQuotation(part.code) };
    if ('strong' in part) return { type: 'strong', children: toPhrasing(part.strong) };
    return { type: 'link', url: part.link, children: toPhrasing(part.text) };
  });
}

function replaceBars(phrase: Phrase): Phrase {
  return phrase.map((part) => {
    if (typeof part === 'string') return part;
    if ('code' in part) return { code: part.code.replaceAll('|', '\u2502') };
    if ('strong' in part) return { strong: replaceBars(part.strong) };
    return { link: part.link, text: replaceBars(part.text) };
  });
}
