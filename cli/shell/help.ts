import { EXIT_CODE_MEANINGS, type ExitCode } from './failure.ts';

/** The variables that users set, as `--help` shows them. The runner's own are in `cli/README.md`. */
const VARIABLE_MEANINGS = {
  CLEARML_API_ACCESS_KEY: 'ClearML credentials; required',
  CLEARML_API_SECRET_KEY: 'ClearML credentials; required',
  CLEARML_API_HOST: "ClearML's API server (default: https://api.clear.ml)",
  CLEARML_WEB_HOST: "ClearML's web app, for links (default: derived from the API host)",
  CLEARML_FILES_HOST: "ClearML's files server (default: derived from the API host)",
  GH_TOKEN: 'GitHub token (or GITHUB_TOKEN); create-stats-comment needs it unless --dry-run is given',
  GITHUB_REPOSITORY: 'owner/name of the repository',
  PR_NUMBER: "number of the pull request (default: the event's)",
  PR_COMMIT: 'full id of the only commit that may be launched',
  GITHUB_API_URL: 'API of a GitHub Enterprise Server (default: https://api.github.com)',
  GITHUB_SERVER_URL: 'GitHub Enterprise Server (default: https://github.com)',
  HTTPS_PROXY: 'proxy for both services, as HTTP_PROXY; NO_PROXY lists exceptions',
  NODE_EXTRA_CA_CERTS: 'file with a private certificate authority; not read from .env',
  NO_COLOR: 'no colours, even on a terminal',
} as const;

export type VariableName = keyof typeof VARIABLE_MEANINGS;

/** What `--help` tells after the options. */
interface HelpEnd {
  /** The arguments of a command line each. */
  readonly examples: readonly string[];
  /** The variables that the program reads, besides those that every program does. */
  readonly variables?: readonly VariableName[];
  /** What exit codes mean here: the program's own, and those of which it gives only some cases. */
  readonly exitCodes: Readonly<Partial<Record<ExitCode, string>>>;
}

const COMMON_VARIABLES: readonly VariableName[] = [
  'CLEARML_API_ACCESS_KEY',
  'CLEARML_API_SECRET_KEY',
  'CLEARML_API_HOST',
  'CLEARML_WEB_HOST',
  'CLEARML_FILES_HOST',
  'GITHUB_REPOSITORY',
  'PR_NUMBER',
  'HTTPS_PROXY',
  'NODE_EXTRA_CA_CERTS',
];

/** Every program can give these. */
const COMMON_EXIT_CODES: readonly ExitCode[] = [1, 2, 8, 9, 10, 130, 143];

/** The end of a program's `--help`: examples as its page runs them, then variables and exit codes. */
export function formatHelpEnd(name: string, { examples, variables = [], exitCodes }: HelpEnd): string {
  const isListed = (variable: string) =>
    [...COMMON_VARIABLES, ...variables].some((listed) => listed === variable);
  return [
    formatSection(
      'Examples',
      examples.map((args) => `node --import tsx cli/${name}.ts ${args}`.trimEnd()),
    ),
    formatSection(
      'Variables (.env is read too, outside GitHub Actions)',
      formatRows(Object.entries(VARIABLE_MEANINGS).filter(([variable]) => isListed(variable))),
    ),
    formatSection(
      'Exit codes',
      formatRows(
        EXIT_CODE_MEANINGS.filter(([code]) => code in exitCodes || COMMON_EXIT_CODES.includes(code)).map(
          ([code, meaning]) => [String(code), exitCodes[code] ?? meaning],
        ),
      ),
    ),
  ].join('');
}

function formatSection(title: string, lines: readonly string[]): string {
  return `\n${title}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** Two columns; the first is as wide as its longest text. */
function formatRows(rows: ReadonlyArray<readonly [string, string]>): string[] {
  const width = Math.max(...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `${first.padEnd(width)}  ${second}`);
}
