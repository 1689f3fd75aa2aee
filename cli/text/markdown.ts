import type { Nodes, PhrasingContent, RootContent, TableCell } from 'mdast';
import type { Phrase } from './phrase.ts';
import { toQuotation, toQuotedLines } from './quotation.ts';

/**
 * Makes Markdown for GitHub. Everything goes through a serialiser that knows what must be escaped where; foreign text
 * gets in as a code span or a fenced block only.
 */
export interface MarkdownWriter {
  /** A line of text. In a table cell nothing else is needed; elsewhere a template puts it where it likes. */
  line(phrase: Phrase): string;
  heading(depth: 1 | 2 | 3 | 4, phrase: Phrase): string;
  table(
    columns: ReadonlyArray<{ readonly title: Phrase; readonly align?: 'left' | 'right' | 'center' }>,
    rows: ReadonlyArray<readonly Phrase[]>,
  ): string;
  list(items: readonly Phrase[]): string;
  /** Foreign text in a fenced block. */
  fence(text: string): string;
  /** A fenced block of ours, in a language. */
  code(language: string, text: string): string;
}

/** The packages are loaded on the first call: while the first answers are still under way. */
export async function loadMarkdownWriter(): Promise<MarkdownWriter> {
  // One after the other: they share files, which Jest's loader does not like to be asked for twice at once.
  const { toMarkdown } = await import('mdast-util-to-markdown');
  const { gfmTableToMarkdown } = await import('mdast-util-gfm-table');
  const write = (node: Nodes) =>
    toMarkdown(node, {
      bullet: '-',
      fences: true,
      rule: '-',
      // Without padding: blanks count towards the 65,536 characters too.
      extensions: [gfmTableToMarkdown({ tablePipeAlign: false })],
    }).trimEnd();
  const paragraph = (phrase: Phrase): RootContent => ({ type: 'paragraph', children: toPhrasing(phrase) });

  return {
    // A template may put a line into a table, where a bar would end the cell.
    line: (phrase) => write(paragraph(replaceBars(phrase))),
    heading: (depth, phrase) => write({ type: 'heading', depth, children: toPhrasing(phrase) }),
    table: (columns, rows) => {
      const toCells = (phrases: readonly Phrase[]): TableCell[] =>
        phrases.map((one) => ({ type: 'tableCell', children: toPhrasing(one) }));
      return write({
        type: 'table',
        align: columns.map(({ align }) => align ?? null),
        children: [columns.map(({ title }) => title), ...rows].map((row) => ({
          type: 'tableRow',
          children: toCells(row),
        })),
      });
    },
    list: (items) =>
      write({
        type: 'list',
        ordered: false,
        spread: false,
        children: items.map((item) => ({
          type: 'listItem',
          spread: false,
          children: [{ type: 'paragraph', children: toPhrasing(item) }],
        })),
      }),
    fence: (text) => write({ type: 'code', lang: 'text', value: toQuotedLines(text).join('\n') }),
    code: (language, text) => write({ type: 'code', lang: language, value: text }),
  };
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
