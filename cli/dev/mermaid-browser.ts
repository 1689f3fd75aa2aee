import { existsSync, readFileSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { MERMAID_FILE } from './github-page.ts';

/** Path of a Chromium on this machine, if there is one; `CHROMIUM` names one that is somewhere else. */
export function findBrowser(): string | undefined {
  const places = [
    process.env.CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ];
  return places.find((place) => place !== undefined && existsSync(place));
}

/** What takes a second may take a minute on a busy machine; the default is half of one. */
const TIMEOUT_MS = 5 * 60_000;

/** A headless Chromium of the machine. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) {
    throw new Error('There is no Chromium: apt-get install chromium, or let CHROMIUM name one.');
  }
  // In a container there is no sandbox to be had, and nothing is loaded but our own text.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'], timeout: TIMEOUT_MS });
}

/** A page with mermaid in it, as `window.mermaid`; it loads nothing from anywhere. */
export async function openMermaidPage(
  browser: Browser,
  html: string,
  theme: 'default' | 'dark',
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 900, height: 800 }, deviceScaleFactor: 2 });
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.route('**', (route) => route.abort());
  await page.setContent(html);
  await page.addScriptTag({ content: readFileSync(MERMAID_FILE, 'utf8') });
  await page.evaluate((name) => {
    const { mermaid } = globalThis as unknown as { mermaid: { initialize(options: object): void } };
    mermaid.initialize({ startOnLoad: false, theme: name, securityLevel: 'strict' });
  }, theme);
  return page;
}

/** What came of a mermaid text: its picture as SVG, or what mermaid found wrong with it. */
export type Drawing = { readonly svg: string } | { readonly error: string };

/** Has mermaid draw each text. */
export async function drawMermaid(page: Page, texts: readonly string[]): Promise<Drawing[]> {
  return page.evaluate(async (all) => {
    const { mermaid } = globalThis as unknown as {
      mermaid: { render(id: string, text: string): Promise<{ svg: string }> };
    };
    const drawings: Array<{ svg: string } | { error: string }> = [];
    for (const [index, text] of all.entries()) {
      try {
        drawings.push({ svg: (await mermaid.render(`drawing-${index}`, text)).svg });
      } catch (error) {
        drawings.push({ error: String(error) });
      }
    }
    return drawings;
  }, texts);
}
