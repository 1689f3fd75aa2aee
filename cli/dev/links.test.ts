import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { findBrokenLinks, listPages } from './pages.ts';

const readFile = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const pages = listPages();

test('there are pages to look at', () => {
  expect(pages).toEqual(
    expect.arrayContaining(['README.md', 'CHANGELOG.md', '.github/WORKFLOW.md', 'cli/gate/README.md']),
  );
});

test.each(pages)('every link and picture of %s leads somewhere', (page) => {
  expect(findBrokenLinks(page)).toEqual([]);
});

test.each(pages)('%s names npm scripts that exist', (page) => {
  const { scripts } = JSON.parse(readFile('package.json')) as { scripts: Record<string, string> };
  const named = [...readFile(page).matchAll(/npm run (?:--?\S+ )?([\w:-]+)/g)].map(([, name = '']) => name);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

describe('a link is broken', () => {
  const find = (markdown: string) => findBrokenLinks('cli/README.md', () => markdown);

  test.each([
    ['a file that is not there', '[x](nothing.ts)', 'nothing.ts leads to no file'],
    ['a picture that is not there', '![x](nothing.svg)', 'nothing.svg leads to no file'],
    ['a heading that is not there', '# A\n[x](#b)', '#b is not a heading of that page'],
    [
      'a heading of code',
      '[x](sandbox/main.ts#a)',
      'sandbox/main.ts#a names a heading of a file that has none',
    ],
    ['a path above the root', '[x](../../etc)', '../../etc leads out of the repository'],
    ['an address without TLS', '[x](http://example.com)', 'http://example.com is not an https address'],
    ['an address without a host', '[x](https://)', 'https:// is not an https address'],
    ['a reference without a definition', '![x][nothing]', '][nothing] has no definition'],
  ])('that leads to %s', (_, markdown, problem) => {
    expect(find(markdown)).toEqual([problem]);
  });

  test.each([
    [
      'a heading, by GitHub’s rules',
      "# A fork's `code`, twice\n# A fork's `code`, twice\n[x](#a-forks-code-twice-1)",
    ],
    ['a file and a folder', '[x](../README.md) [y](sandbox)'],
    ['a reference', '![x][y]\n\n[y]: ../.github/assets/bench.svg'],
    ['a link in a table', '| a |\n| --- |\n| [x](sandbox/main.ts) `[y](z)` |'],
    ['an address', '[x](https://docs.github.com/en/actions) <https://clear.ml>'],
  ])('but not %s', (_, markdown) => {
    expect(find(markdown)).toEqual([]);
  });
});
