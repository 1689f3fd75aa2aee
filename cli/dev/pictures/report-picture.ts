import { renderGithubMarkdown } from '../github-markdown.ts';
import { finishGithubHtml, readGithubStyle } from '../github-page.ts';
import { drawMermaid, openBrowser, openMermaidPage } from '../mermaid-browser.ts';

/** Hides the paths of the machine that makes the pictures. */
export function hidePaths(text: string): string {
  return text
    .replace(/[^\s"]*\/\.cache\/python-[^/"]+\//g, '/opt/venv/')
    .replace(/[^\s"]*\/task_repository\/[^/"]+\//g, '/home/agent/.clearml/task_repository/digits/');
}

export interface PictureOptions {
  readonly isDark?: boolean;
  /** Unfolds everything. */
  readonly isOpen?: boolean;
  /** Of the page, in px; the picture has twice as many. */
  readonly width?: number;
}

/** What GitHub's page does that its style sheet for Markdown does not: the frame, alerts, dots of colours. */
function layOut(html: string, isDark: boolean): string {
  return `<!doctype html><meta charset="utf-8"><style>${readGithubStyle(isDark ? 'dark' : 'light')}
body { margin: 0; background: ${isDark ? '#0d1117' : '#fff'}; }
.frame { margin: 16px; border: 1px solid ${isDark ? '#3d444d' : '#d1d9e0'}; border-radius: 6px; padding: 16px; }
.mermaid-drawing { text-align: center; margin-bottom: 16px; } .mermaid-drawing svg { max-width: 100%; height: auto; }
</style><div class="frame"><article class="markdown-body" style="font-size:14px">${finishGithubHtml(html)}</article></div>`;
}

/**
 * Pictures (PNG) of Markdown as GitHub shows it: made by GitHub's own parser, charts drawn by mermaid in a headless
 * Chromium, GitHub's style sheet from npm.
 */
export async function drawPictures(
  texts: readonly string[],
  options: PictureOptions = {},
): Promise<Buffer[]> {
  const { isDark = false, isOpen = false, width = 880 } = options;
  const pages = await renderGithubMarkdown(texts);
  const browser = await openBrowser();
  try {
    const pictures: Buffer[] = [];
    for (const html of pages) {
      const page = await openMermaidPage(browser, layOut(html, isDark), isDark ? 'dark' : 'default');
      await page.setViewportSize({ width, height: 100 });
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
      if (isOpen) {
        await page.$$eval('details', (all) => {
          for (const one of all) one.setAttribute('open', '');
        });
      }
      pictures.push(await page.screenshot({ fullPage: true }));
      await page.close();
    }
    return pictures;
  } finally {
    await browser.close();
  }
}
