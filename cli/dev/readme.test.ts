import { readFileSync, statSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { main as launch } from '../launch-training-task.ts';
import { PLACEHOLDER_FUNCTIONS, PLACEHOLDERS } from '../report/template.ts';
import { ConfigSchema, parseConfig } from '../shell/config.ts';
import { EXIT_CODE_MEANINGS } from '../shell/failure.ts';
import { makeReport, makeReportedTask } from './made-up-report.ts';
import { listPages } from './pages.ts';
import { runProgramHere } from './program-run.ts';

// What the pages tell is held to the code. That their links lead somewhere: links.test.ts.

const root = new URL('../../', import.meta.url);
const readPage = (path: string) => readFileSync(new URL(path, root), 'utf8');
const readme = readPage('README.md');

const PROGRAMS = [
  ['launch-training-task', launch, 'cli/launch/README.md'],
  ['check-task-running', check, 'cli/check/README.md'],
  ['create-stats-comment', comment, 'cli/report/README.md'],
] as const;

/** A page's text from a heading to the next one of the same or a higher rank. */
function readSection(page: string, heading: string): string {
  const start = `\n${page}`.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`the page has no heading "${heading}"`);
  const rank = heading.indexOf(' ');
  const rest = page.slice(start + heading.length);
  const end = rest.search(new RegExp(`\\n#{1,${rank}} `));
  return end < 0 ? rest : rest.slice(0, end);
}

/** The first cells of a section's tables. */
function listFirstCells(section: string): string[] {
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) => line.replaceAll('\\|', '¦').split('|')[1]?.replaceAll('¦', '|').trim() ?? '');
}

function listCode(text: string, code: RegExp): string[] {
  return [...text.matchAll(code)].map(([, name]) => name ?? '');
}

describe('the README', () => {
  test('is a page of at most 200 lines and 12 kB, without long lines', () => {
    const lines = readme.split('\n');
    expect(lines.length - 1).toBeLessThanOrEqual(200);
    expect(statSync(new URL('README.md', root)).size).toBeLessThanOrEqual(12_288);
    expect(lines.filter((line) => line.length > 200)).toEqual([]);
  });

  test('is the one that GitHub shows: it would take .github/README.md instead', () => {
    expect(listPages()).not.toContain('.github/README.md');
  });

  test('lists the exit codes, with the meanings that the programs tell', () => {
    const rows = readSection(readme, '## Outputs and exit codes').matchAll(/^\| (\d+) \| (.*) \|$/gm);
    expect([...rows].map(([, code, meaning]) => [Number(code), meaning])).toEqual(
      EXIT_CODE_MEANINGS.map(([code, meaning]) => [code, meaning]),
    );
  });

  test('shows ten settings, in a file that the programs would take', () => {
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readSection(readme, '## Settings')) ?? [];
    const settings: unknown = parse(text);
    expect(parseConfig(settings)).toHaveProperty('config');
    expect(Object.keys(settings as object)).toHaveLength(10);
  });
});

describe.each(PROGRAMS)('%s', (name, main, path) => {
  const listOffered = async () => {
    const { stdout } = await runProgramHere(main, { args: ['--help'], env: {} });
    return listCode(stdout, /^ {2}(?:-\w, )?--([\w-]+)/gm);
  };

  test('has exactly the options that its page lists', async () => {
    const documented = listFirstCells(readSection(readPage(path), '## Options')).flatMap((cell) =>
      listCode(cell, /`--([\w-]+)/g),
    );
    const offered = (await listOffered()).filter((option) => !['help', 'version'].includes(option));
    expect(documented.sort()).toEqual(offered.sort());
  });

  test('shows examples as its page runs them, variables that the pages list, and only exit codes that it gives', async () => {
    const { stdout } = await runProgramHere(main, { args: ['--help'], env: {} });
    const [, examples = '', variables = '', exitCodes = ''] =
      /\nExamples:\n([\s\S]*)\nVariables [^\n]*:\n([\s\S]*)\nExit codes:\n([\s\S]*)$/.exec(stdout) ?? [];
    for (const line of examples.trim().split('\n'))
      expect(line.trim()).toMatch(new RegExp(`^node --import tsx cli/${name}\\.ts\\b`));
    const documented = listCode(readSection(readPage('cli/README.md'), '## Variables'), /`([A-Z_]+)`/g);
    expect(documented).toEqual(expect.arrayContaining(listCode(variables, /^ {2}([A-Z_]+) /gm)));
    const given = listCode(exitCodes, /^ {2}(\d+) /gm).map(Number);
    const own = {
      'launch-training-task': [7],
      'check-task-running': [3, 4, 7, 124],
      'create-stats-comment': [5, 6],
    }[name];
    expect(given).toEqual([0, 1, 2, ...own, 8, 9, 10, 130, 143].sort((a, b) => a - b));
  });

  test('has the five options that the README lists', async () => {
    const [part = ''] = readSection(readme, '## The programs')
      .split(/\n(?=\*\*\[)/)
      .filter((text) => text.startsWith(`**[${name}]`));
    const listed = listFirstCells(part).flatMap((cell) => listCode(cell, /^`--([\w-]+)/g));
    expect(listed).toHaveLength(5);
    expect(await listOffered()).toEqual(expect.arrayContaining(listed));
  });

  test('has the outputs that the README lists', () => {
    const outputs = listFirstCells(readSection(readPage(path), '## Outputs')).flatMap((cell) =>
      listCode(cell, /`([\w-]+)`/g),
    );
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${name}\` | `)) ?? '';
    expect(listCode(row, /`([\w-]+)`/g).slice(1)).toEqual(outputs);
  });
});

test('the settings are those that templates/README.md lists', () => {
  const section = readSection(readPage('templates/README.md'), '## Settings');
  const documented = listFirstCells(section).flatMap((cell) => listCode(cell, /`([\w-]+)`/g));
  expect(documented.sort()).toEqual(Object.keys(ConfigSchema.pipe[1].entries).sort());
});

test('.env.example explains every variable of cli/README.md that can be set in it', () => {
  const example = readPage('.env.example');
  const documented = listFirstCells(readSection(readPage('cli/README.md'), '## Variables')).flatMap((cell) =>
    listCode(cell, /`([A-Z_]+)`/g),
  );
  expect(documented.length).toBeGreaterThan(20);
  const isRunners = (variable: string) =>
    /^GITHUB_(?!REPOSITORY|API_URL|SERVER_URL)/.test(variable) || variable === 'HTTP_PROXY';
  expect(documented.filter((variable) => !isRunners(variable) && !example.includes(variable))).toEqual([]);
});

test('the placeholders of templates are those that templates/README.md lists', () => {
  const section = readSection(readPage('templates/README.md'), '## Templates');
  const documented = listFirstCells(section).flatMap((cell) => listCode(cell, /\{\{([\w-]+)/g));
  expect(documented.sort()).toEqual([...PLACEHOLDERS, ...PLACEHOLDER_FUNCTIONS].sort());
});

test('the fields of --json are those that cli/report/README.md lists', () => {
  const section = readSection(readPage('cli/report/README.md'), '## The report as JSON');
  const documented = listFirstCells(section).flatMap((cell) => listCode(cell, /`(\w+)/g));
  const report = makeReport([makeReportedTask()], [makeReportedTask({ id: '6'.repeat(32) })]);
  expect(documented.sort()).toEqual(Object.keys(report).sort());
});
