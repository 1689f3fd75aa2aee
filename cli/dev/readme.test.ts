import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { main as launch } from '../launch-training-task.ts';
import { PLACEHOLDER_FUNCTIONS, PLACEHOLDERS } from '../report/template.ts';
import { ConfigSchema } from '../shell/config.ts';
import { EXIT_CODE_MEANINGS } from '../shell/failure.ts';
import { makeReport, makeReportedTask } from './made-up-report.ts';
import { runProgramHere } from './program-run.ts';

const root = new URL('../../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');

/** The README's text from a heading to the next one of the same or a higher rank. */
function readSection(heading: string): string {
  const start = readme.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`the README has no heading "${heading}"`);
  const rank = heading.indexOf(' ');
  const rest = readme.slice(start + heading.length);
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

describe.each([
  ['launch-training-task', launch],
  ['check-task-running', check],
  ['create-stats-comment', comment],
] as const)('%s', (name, main) => {
  test('has exactly the options that the README lists', async () => {
    const { stdout } = await runProgramHere(main, { args: ['--help'], env: {} });
    const offered = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, option]) => option ?? '');
    const documented = listFirstCells(readSection(`## ${name}`)).flatMap((cell) =>
      [...cell.matchAll(/`--([\w-]+)/g)].map(([, option]) => option ?? ''),
    );
    expect(documented.sort()).toEqual(
      offered.filter((option) => !['help', 'version'].includes(option)).sort(),
    );
  });
});

test('the exit codes are those that the README lists, with the same meanings', () => {
  const rows = readSection('## Exit codes').matchAll(/^\| (\d+) \| (.*) \|$/gm);
  expect([...rows].map(([, code, meaning]) => [Number(code), meaning])).toEqual(
    EXIT_CODE_MEANINGS.map(([code, meaning]) => [code, meaning]),
  );
});

test('the settings are those that the README lists', () => {
  const documented = listFirstCells(readSection('## Settings file')).flatMap((cell) =>
    [...cell.matchAll(/`([\w-]+)`/g)].map(([, key]) => key ?? ''),
  );
  expect(documented.sort()).toEqual(Object.keys(ConfigSchema.pipe[1].entries).sort());
});

test('.env.example explains every variable of the README that can be set in it', () => {
  const example = readFileSync(new URL('.env.example', root), 'utf8');
  const documented = listFirstCells(readSection('## Variables')).flatMap((cell) =>
    [...cell.matchAll(/`([A-Z_]+)`/g)].map(([, variable]) => variable ?? ''),
  );
  expect(documented.length).toBeGreaterThan(20);
  const isRunners = (variable: string) =>
    /^GITHUB_(?!REPOSITORY|API_URL|SERVER_URL)/.test(variable) || variable === 'HTTP_PROXY';
  expect(documented.filter((variable) => !isRunners(variable) && !example.includes(variable))).toEqual([]);
});

test('the placeholders of templates are those that the README lists', () => {
  const documented = listFirstCells(readSection('### Templates')).flatMap((cell) =>
    [...cell.matchAll(/\{\{([\w-]+)/g)].map(([, name]) => name ?? ''),
  );
  expect(documented.sort()).toEqual([...PLACEHOLDERS, ...PLACEHOLDER_FUNCTIONS].sort());
});

test('the fields of --json are those that the README lists', () => {
  const documented = listFirstCells(readSection('### The report as data')).flatMap((cell) =>
    [...cell.matchAll(/`(\w+)/g)].map(([, field]) => field ?? ''),
  );
  const report = makeReport([makeReportedTask()], [makeReportedTask({ id: '6'.repeat(32) })]);
  expect(documented.sort()).toEqual(Object.keys(report).sort());
});
