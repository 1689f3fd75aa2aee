import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import GithubSlugger from 'github-slugger';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { toString as toText } from 'mdast-util-to-string';
import { visit } from 'unist-util-visit';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Markdown that is no page: templates of what the programs write. */
const TEMPLATES = ['templates/comment.md', 'templates/summary.md'];

/** Every page of the repository: paths relative to its root, with `/`. */
export function listPages(): string[] {
  const folders = ['.', '.github', 'cli', 'templates', 'findings'].filter((path) =>
    existsSync(join(ROOT, path)),
  );
  return folders
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { encoding: 'utf8', recursive: folder !== '.' }).map((name) =>
        normalize(join(folder, name)).replaceAll('\\', '/'),
      ),
    )
    .filter((path) => path.endsWith('.md') && !TEMPLATES.includes(path) && !path.includes('node_modules/'));
}

/** What is wrong with a page's links and pictures: one phrase each, which begins with the address. */
export function findBrokenLinks(page: string, read = readPage): string[] {
  return listAddresses(read(page)).flatMap((address) => {
    const problem = findProblem(page, address, read);
    return problem === undefined ? [] : [`${address} ${problem}`];
  });
}

function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function listAddresses(text: string): string[] {
  const addresses: string[] = [];
  visit(fromMarkdown(text), (node) => {
    if (node.type === 'link' || node.type === 'image' || node.type === 'definition') addresses.push(node.url);
    // A reference without a definition is no link for the parser: GitHub shows its brackets.
    if (node.type === 'text')
      for (const [found] of node.value.matchAll(/\]\[[\w-]*\]/g)) addresses.push(found);
  });
  return addresses;
}

/** @returns undefined if the address leads somewhere; nothing outside is asked for */
function findProblem(page: string, address: string, read: (page: string) => string): string | undefined {
  if (address.startsWith('][')) return 'has no definition';
  if (/^[a-z][a-z+.-]*:/i.test(address)) {
    const url = URL.canParse(address) ? new URL(address) : undefined;
    return url?.protocol === 'https:' && url.hostname.includes('.') ? undefined : 'is not an https address';
  }
  const [path = '', anchor] = address.split('#');
  const target = path === '' ? page : normalize(join(dirname(page), decodeURI(path))).replaceAll('\\', '/');
  if (target.startsWith('..') || path.startsWith('/')) return 'leads out of the repository';
  if (!existsSync(join(ROOT, target))) return 'leads to no file';
  if (anchor === undefined) return undefined;
  if (!target.endsWith('.md') || statSync(join(ROOT, target)).isDirectory())
    return 'names a heading of a file that has none';
  return listAnchors(read(target)).includes(anchor) ? undefined : 'is not a heading of that page';
}

/** Many links lead to the same few pages. */
const anchorsOfTexts = new Map<string, readonly string[]>();

/** The anchors that GitHub gives a page's headings, in order. */
function listAnchors(text: string): readonly string[] {
  const known = anchorsOfTexts.get(text);
  if (known !== undefined) return known;
  const slugger = new GithubSlugger();
  const anchors: string[] = [];
  anchorsOfTexts.set(text, anchors);
  visit(fromMarkdown(text), 'heading', (node) => {
    anchors.push(slugger.slug(toText(node)));
  });
  return anchors;
}
