import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gfmTableToMarkdown } from 'mdast-util-gfm-table';
import { toMarkdown } from 'mdast-util-to-markdown';
import { writeTable } from './markdown.ts';
import type { Phrase, PhrasePart } from './phrase.ts';
import { toQuotation } from './quotation.ts';

/** A table as the serialiser alone writes it. */
function serialise(rows: readonly Phrase[][]): string {
  type Content = Parameters<typeof toMarkdown>[0];
  const toContent = (part: PhrasePart): Content => {
    if (typeof part === 'string') return { type: 'text', value: part };
    if ('code' in part) return { type: 'inlineCode', value: toQuotation(part.code) };
    if ('strong' in part) return { type: 'strong', children: part.strong.map(toContent) } as Content;
    return { type: 'link', url: part.link, children: part.text.map(toContent) } as Content;
  };
  const table = {
    type: 'table',
    align: [null, 'right'],
    children: rows.map((row) => ({
      type: 'tableRow',
      children: row.map((cell) => ({ type: 'tableCell', children: cell.map(toContent) })),
    })),
  } as Content;
  const extensions = [gfmTableToMarkdown({ tablePipeAlign: false })];
  return toMarkdown(table, { bullet: '-', fences: true, rule: '-', extensions }).trimEnd();
}

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'a1.-+*_`|\\:<&#~[]() \u00a0é') }),
  fc.constantFrom('12', '-0.5', '1.', '0.25', 'n/a', '1e-5', '+3 %', 'a b'),
);
const plain: fc.Arbitrary<PhrasePart> = fc.oneof(
  text,
  text.map((code) => ({ code })),
);
const part: fc.Arbitrary<PhrasePart> = fc.oneof(
  plain,
  fc.array(plain, { minLength: 1, maxLength: 2 }).map((strong) => ({ strong })),
  plain.map((inner) => ({ link: 'https://example.com/a', text: [inner] })),
);
const row = fc.tuple(fc.array(part, { maxLength: 2 }), fc.array(part, { maxLength: 2 }));

test('a row with nothing to escape is written as the serialiser writes it, between others', () => {
  const columns = [{ title: ['Metric'] }, { title: ['Value'], align: 'right' }] as const;
  const expected = (rows: readonly Phrase[][]) => serialise([[['Metric'], ['Value']], ...rows]);
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 5 }), (rows) => {
      expect(writeTable(columns, rows)).toBe(expected(rows));
    }),
    { numRuns: 500 },
  );
});
