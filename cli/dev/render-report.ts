/**
 * Renders reports as GitHub would show them, to PNG: Markdown by GitHub's own parser, charts by mermaid in a headless
 * Chromium, GitHub's style sheet from npm.
 *
 * node --import tsx cli/dev/render-report.ts FILE… [--dark] [--width=880] [--open] [--summary]
 *
 * A file is a comment's Markdown, or what create-stats-comment --json printed (of which `--summary` makes the job
 * summary). `--open` unfolds everything. Each picture stands beside its file: `comment.md` becomes `comment.png`.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { loadDownsample } from '../core/curve.ts';
import { loadMarkdownWriter } from '../core/markdown.ts';
import type { Report } from '../core/report.ts';
import {
  PLACEHOLDER_FUNCTIONS,
  PLACEHOLDERS,
  renderComment,
  renderSummary,
} from '../core/report-markdown.ts';
import { compileTemplate } from '../core/template.ts';
import { readCommentTemplate, readSummaryTemplate } from '../io/template-file.ts';
import { renderGithubMarkdown } from './github-markdown.ts';
import { drawMermaid, openBrowser, openMermaidPage } from './mermaid-browser.ts';

const require = createRequire(import.meta.url);

/** What GitHub's page does that its style sheet for Markdown does not: the frame, alerts, dots of colours. */
function layOut(html: string, isDark: boolean): string {
  const style = readFileSync(
    require.resolve(`github-markdown-css/github-markdown-${isDark ? 'dark' : 'light'}.css`),
    'utf8',
  );
  const body = html
    .replace(
      /<blockquote>\s*<p>\[!(NOTE|WARNING|IMPORTANT|TIP|CAUTION)\]\s*/g,
      (_, kind: string) =>
        `<blockquote class="markdown-alert markdown-alert-${kind.toLowerCase()}"><p class="markdown-alert-title">${kind.charAt(0)}${kind.slice(1).toLowerCase()}</p><p>`,
    )
    .replace(
      /<code>(#[0-9A-Fa-f]{6})<\/code>/g,
      '<code>$1<span style="display:inline-block;width:8px;height:8px;margin-left:4px;border-radius:50%;border:1px solid rgba(31,35,40,.15);background:$1"></span></code>',
    );
  return `<!doctype html><meta charset="utf-8"><style>${style}
body { margin: 0; background: ${isDark ? '#0d1117' : '#fff'}; }
.frame { margin: 16px; border: 1px solid ${isDark ? '#3d444d' : '#d1d9e0'}; border-radius: 6px; padding: 16px; }
.mermaid-drawing { text-align: center; margin-bottom: 16px; } .mermaid-drawing svg { max-width: 100%; height: auto; }
</style><div class="frame"><article class="markdown-body" style="font-size:14px">${body}</article></div>`;
}

/** The Markdown of a file. */
async function readMarkdown(file: string, isSummary: boolean): Promise<string> {
  const text = readFileSync(file, 'utf8');
  if (!file.endsWith('.json')) return text;
  const report = JSON.parse(text) as Report;
  const renderer = { writer: await loadMarkdownWriter(), downsample: await loadDownsample() };
  const known = { names: PLACEHOLDERS, functions: PLACEHOLDER_FUNCTIONS };
  return isSummary
    ? renderSummary(report, await compileTemplate(await readSummaryTemplate(), known), renderer)
    : renderComment(
        report,
        'key',
        await compileTemplate(await readCommentTemplate('.', undefined), known),
        renderer,
      );
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dark: { type: 'boolean', default: false },
      open: { type: 'boolean', default: false },
      summary: { type: 'boolean', default: false },
      width: { type: 'string', default: '880' },
    },
  });
  const texts = await Promise.all(positionals.map((file) => readMarkdown(file, values.summary)));
  const pages = await renderGithubMarkdown(texts);
  const browser = await openBrowser();
  try {
    for (const [index, html] of pages.entries()) {
      const page = await openMermaidPage(
        browser,
        layOut(html, values.dark),
        values.dark ? 'dark' : 'default',
      );
      await page.setViewportSize({ width: Number(values.width), height: 600 });
      const charts = await page.$$eval('pre[lang="mermaid"]', (blocks) =>
        blocks.map((block) => block.textContent ?? ''),
      );
      const drawings = await drawMermaid(page, charts);
      await page.$$eval(
        'pre[lang="mermaid"]',
        (blocks, drawn) => {
          for (const [position, block] of blocks.entries()) {
            const drawing = drawn[position];
            const holder = block.ownerDocument.createElement('div');
            holder.className = 'mermaid-drawing';
            if (drawing !== undefined && 'svg' in drawing) holder.innerHTML = drawing.svg;
            else holder.textContent = drawing?.error ?? 'not drawn';
            block.replaceWith(holder);
          }
        },
        drawings,
      );
      if (values.open) {
        await page.$$eval('details', (all) => {
          for (const one of all) one.setAttribute('open', '');
        });
      }
      const picture = `${positionals[index]?.replace(/\.(?:md|json)$/, '')}.png`;
      await page.screenshot({ path: picture, fullPage: true });
      await page.close();
      process.stdout.write(`${picture}\n`);
    }
  } finally {
    await browser.close();
  }
}

await main();
