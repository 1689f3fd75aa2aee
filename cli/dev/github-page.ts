import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** GitHub's style sheet for Markdown; `auto` follows the reader's system. */
export function readGithubStyle(scheme: 'light' | 'dark' | 'auto'): string {
  const suffix = scheme === 'auto' ? '' : `-${scheme}`;
  return readFileSync(require.resolve(`github-markdown-css/github-markdown${suffix}.css`), 'utf8');
}

/** mermaid as a script that defines `window.mermaid`; it loads nothing from anywhere. */
export const MERMAID_FILE = require.resolve('@mermaid-js/tiny/dist/mermaid.tiny.js');

/** What GitHub does to a comment's HTML beside its Markdown parser: alerts, and dots of colours. */
export function finishGithubHtml(html: string): string {
  return html
    .replace(
      /<blockquote>\s*<p>\[!(NOTE|WARNING|IMPORTANT|TIP|CAUTION)\]\s*/g,
      (_, kind: string) =>
        `<blockquote class="markdown-alert markdown-alert-${kind.toLowerCase()}"><p class="markdown-alert-title">${kind.charAt(0)}${kind.slice(1).toLowerCase()}</p><p>`,
    )
    .replace(
      /<code>(#[0-9A-Fa-f]{6})<\/code>/g,
      '<code>$1<span style="display:inline-block;width:8px;height:8px;margin-left:4px;border-radius:50%;border:1px solid rgba(31,35,40,.15);background:$1"></span></code>',
    );
}
