/**
 * Renders reports as GitHub would show them, to PNG: Markdown by GitHub's own parser, charts by mermaid in a headless
 * Chromium, GitHub's style sheet from npm.
 *
 * node --import tsx cli/dev/render-report.ts FILE… [--dark] [--width=880] [--open] [--summary]
 *
 * A file is a comment's Markdown, or what create-stats-comment --json printed (of which `--summary` makes the job
 * summary). `--open` unfolds everything. Each picture stands beside its file: `comment.md` becomes `comment.png`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { renderComment, renderSummary } from '../report/markdown.ts';
import type { Report } from '../report/report.ts';
import { readTemplates } from '../report/template.ts';
import { drawPictures } from './pictures/report-picture.ts';

/** The Markdown of a file. */
async function readMarkdown(file: string, isSummary: boolean): Promise<string> {
  const text = readFileSync(file, 'utf8');
  if (!file.endsWith('.json')) return text;
  const report = JSON.parse(text) as Report;
  const templates = await readTemplates('.', undefined);
  return isSummary
    ? renderSummary(report, templates.summary)
    : renderComment(report, 'key', templates.comment);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dark: { type: 'boolean', default: false },
    open: { type: 'boolean', default: false },
    summary: { type: 'boolean', default: false },
    width: { type: 'string', default: '880' },
  },
});
const texts: string[] = [];
for (const file of positionals) texts.push(await readMarkdown(file, values.summary));
const pictures = await drawPictures(texts, {
  isDark: values.dark,
  isOpen: values.open,
  width: Number(values.width),
});
for (const [index, picture] of pictures.entries()) {
  const name = `${positionals[index]?.replace(/\.(?:md|json)$/, '')}.png`;
  writeFileSync(name, picture);
  process.stdout.write(`${name}\n`);
}
