import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderGithubMarkdown } from './github-markdown.ts';
import { finishGithubHtml, MERMAID_FILE, readGithubStyle } from './github-page.ts';

/** A pull request's comment, and what came of it. */
export interface PageSection {
  readonly id: string;
  readonly title: string;
  readonly outcome: string;
  readonly tone: 'good' | 'bad' | 'dim';
  readonly markdown: string;
}

/**
 * Writes a page that shows comments as GitHub does: by its own Markdown parser and style sheet, with the charts drawn by
 * mermaid in the reader's browser. It needs no network.
 *
 * @returns the page's file
 */
export async function writeDemoPage(directory: string, sections: readonly PageSection[]): Promise<string> {
  const pages = await renderGithubMarkdown(sections.map(({ markdown }) => markdown));
  const file = join(directory, 'index.html');
  const links = sections.map(
    ({ id, title, outcome, tone }) =>
      `<li><a href="#${id}">${escapeHtml(title)}</a> <span class="${tone}">${escapeHtml(outcome)}</span></li>`,
  );
  const articles = sections.map(
    ({ id, title, outcome, tone }, at) =>
      `<section id="${id}"><h2>${escapeHtml(title)} <span class="${tone}">${escapeHtml(outcome)}</span></h2>
<article class="markdown-body">${finishGithubHtml(pages[at] ?? '')}</article></section>`,
  );
  copyFileSync(MERMAID_FILE, join(directory, 'mermaid.js'));
  writeFileSync(
    file,
    `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What the demo's pull requests were told</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
${readGithubStyle('auto')}
${PAGE_STYLE}
</style></head>
<body>
<h1>What the demo's pull requests were told</h1>
<p>The comments as GitHub shows them. Their links led to the demo's ClearML and GitHub, which ended with it.</p>
<ul>${links.join('\n')}</ul>
${articles.join('\n')}
<script src="mermaid.js"></script>
<script>${PAGE_SCRIPT}</script>
</body></html>
`,
  );
  return file;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

const PAGE_STYLE = `
:root { color-scheme: light dark; --text: #1f2328; --back: #fff; --line: #d1d9e0; --good: #1a7f37; --bad: #d1242f; --dim: #59636e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #f0f6fc; --back: #0d1117; --line: #3d444d; --good: #3fb950; --bad: #f85149; --dim: #9198a1; }
}
body { font: 14px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 3rem; } a { color: inherit; }
.good { color: var(--good); } .bad { color: var(--bad); } .dim { color: var(--dim); }
.markdown-body { font-size: 14px; border: 1px solid var(--line); border-radius: 6px; padding: 16px; }
.drawing { text-align: center; margin-bottom: 16px; } .drawing svg { max-width: 100%; height: auto; }
`;

/** GitHub draws a chart when it comes into view; here all are drawn at once, folded ones too. */
const PAGE_SCRIPT = `
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
mermaid.initialize({ startOnLoad: false, theme: dark ? 'dark' : 'default', securityLevel: 'strict' });
(async () => {
  let count = 0;
  for (const block of document.querySelectorAll('pre[lang="mermaid"]')) {
    const { svg } = await mermaid.render('drawing-' + (count += 1), block.textContent);
    const holder = document.createElement('div');
    holder.className = 'drawing';
    holder.innerHTML = svg;
    block.replaceWith(holder);
  }
})();
`;
