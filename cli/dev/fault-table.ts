/** What `cli/README.md` shows of a run whose requests were broken. */
export interface FaultTableRow {
  /** `program: what happens`. */
  readonly name: string;
  /** It makes so many of them undisturbed. */
  readonly requests: number;
  /** So many of them were broken. */
  readonly broken: number;
  readonly cells: number;
  readonly passed: number;
}

const TOGETHER = 'together';

/**
 * Puts a program's rows where its rows were, in the order given, or behind all others where it had none.
 *
 * @param table Markdown: a header, a row a run, and their sum, which is made anew
 * @param kinds the header's words on what a cell is
 */
export function placeFaultRows(table: string, rows: readonly FaultTableRow[], kinds: string): string {
  const programs = new Set(rows.map(({ name }) => findProgram(name)));
  const before = readRows(table);
  const isOwn = ({ name }: FaultTableRow) => programs.has(findProgram(name));
  const first = before.findIndex(isOwn);
  const others = before.filter((row) => !isOwn(row));
  const all = others.toSpliced(first < 0 ? others.length : first, 0, ...rows);
  const sum = (count: (row: FaultTableRow) => number) => all.reduce((total, row) => total + count(row), 0);
  return [
    `| run | its requests | broken | cells (${kinds}) | passed |`,
    '| --- | --: | --: | --: | --: |',
    ...all.map(formatRow),
    formatRow({
      name: TOGETHER,
      requests: sum((row) => row.requests),
      broken: sum((row) => row.broken),
      cells: sum((row) => row.cells),
      passed: sum((row) => row.passed),
    }),
  ].join('\n');
}

function findProgram(name: string): string {
  return name.split(':')[0] ?? '';
}

function readRows(table: string): FaultTableRow[] {
  return table
    .split('\n')
    .slice(2)
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter(([, name]) => name !== undefined && name !== TOGETHER)
    .map(([, name = '', requests, broken, cells, passed]) => ({
      name,
      requests: Number(requests),
      broken: Number(broken),
      cells: Number(cells),
      passed: Number(passed),
    }));
}

function formatRow({ name, requests, broken, cells, passed }: FaultTableRow): string {
  return `| ${name} | ${requests} | ${broken} | ${cells} | ${passed} |`;
}
