import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOSTED_CLEARML } from './connections/early-connections.ts';
import { checkAll, failUsage } from './failure.ts';
import { decodeUrlPart } from './git-url.ts';

/** Environment variables without empty ones: a repository secret that does not exist is an empty string. */
export type Environment = Readonly<Record<string, string>>;

type Variables = Readonly<Record<string, string | undefined>>;

/** Merges variables and leaves out empty ones. The later source wins. */
function mergeEnvironments(...sources: readonly Variables[]): Environment {
  const entries = sources.flatMap((source) => Object.entries(source));
  const set = entries.filter((entry): entry is [string, string] => (entry[1] ?? '').trim() !== '');
  return Object.freeze(Object.fromEntries(set));
}

/** Whether this runs on a GitHub Actions runner. */
export function isActions(env: Environment): boolean {
  return env.GITHUB_ACTIONS === 'true';
}

/** ClearML's hosts, without a trailing slash, and our credentials. */
export interface ClearmlAccess {
  readonly apiHost: string;
  readonly webHost: string;
  readonly filesHost: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** @throws Failure (usage) naming every variable that is missing or is not a URL */
export function readClearmlAccess(env: Environment): ClearmlAccess {
  const [keys, hosts] = checkAll(
    () => readKeys(env),
    () => readClearmlHosts(env),
  );
  return { ...hosts, ...keys };
}

function readKeys(env: Environment): Pick<ClearmlAccess, 'accessKey' | 'secretKey'> {
  const accessKey = env.CLEARML_API_ACCESS_KEY?.trim();
  const secretKey = env.CLEARML_API_SECRET_KEY?.trim();
  if (accessKey !== undefined && secretKey !== undefined) return { accessKey, secretKey };
  const missing = ['ACCESS_KEY', 'SECRET_KEY'].filter((name) => env[`CLEARML_API_${name}`] === undefined);
  const isBoth = missing.length > 1;
  throw failUsage(
    `${missing.map((name) => `CLEARML_API_${name}`).join(' and ')} ${isBoth ? 'are' : 'is'} not set`,
    isActions(env)
      ? `The workflow reads ${isBoth ? 'them from the repository secrets' : 'it from the repository secret'} ${missing.join(' and ')} (Settings > Secrets and variables > Actions). Pull requests from forks and by Dependabot get no secrets.`
      : isBoth
        ? 'Create credentials in ClearML (Settings > Workspace > Create new credentials). Put them into the environment, or as NAME=value lines into a .env file here.'
        : 'Put it into the environment, or as a NAME=value line into a .env file here. ClearML creates both keys as a pair (Settings > Workspace > Create new credentials).',
  );
}

/**
 * The three ClearML hosts. A missing one is derived from the API host as the SDK does: `api.` becomes `app.` or
 * `files.`, port 8008 becomes 8080 or 8081.
 *
 * @throws Failure (usage) naming every variable that is not an http(s) URL
 */
export function readClearmlHosts(env: Environment): Pick<ClearmlAccess, 'apiHost' | 'webHost' | 'filesHost'> {
  const [apiHost = HOSTED_CLEARML, webHost, filesHost] = checkAll(
    () => readHost(env, 'CLEARML_API_HOST'),
    () => readHost(env, 'CLEARML_WEB_HOST'),
    () => readHost(env, 'CLEARML_FILES_HOST'),
  );
  return {
    apiHost,
    webHost: webHost ?? deriveHost(apiHost, 'app', '8080'),
    filesHost: filesHost ?? deriveHost(apiHost, 'files', '8081'),
  };
}

function readHost(env: Environment, name: string): string | undefined {
  const text = env[name]?.trim();
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw failUsage(
      `${name} is not an http(s) URL`,
      'Give it with its scheme, as in https://api.clear.ml or http://localhost:8008.',
    );
  }
  // Links with these hosts go into outputs and comments, and we sign in with keys only.
  return dropUserInfo(url.href.replace(/[?#].*$/, '').replace(/\/+$/, ''));
}

/** A URL without user name and password. */
export function dropUserInfo(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}

function deriveHost(apiHost: string, prefix: string, port: string): string {
  const url = new URL(apiHost);
  if (url.port === '8008') url.port = port;
  else if (url.hostname.startsWith('api.')) url.hostname = `${prefix}.${url.hostname.slice('api.'.length)}`;
  else if (url.hostname.startsWith('api-')) url.hostname = `${prefix}-${url.hostname.slice('api-'.length)}`;
  return url.href.replace(/\/+$/, '');
}

/** Every text of the environment that must never leave the process: keys, tokens, and the user info of URLs. */
export function listSecrets(env: Environment): string[] {
  const secrets: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (SECRET_VARIABLES.has(name)) secrets.push(value, value.trim());
    const userInfo = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/\s@]+)@[^\s@]+$/i.exec(value.trim())?.[1];
    if (userInfo === undefined || !URL_VARIABLES.test(name)) continue;
    const [user = '', ...password] = userInfo.split(':');
    for (const part of [userInfo, user, password.join(':')]) secrets.push(part, decodeUrlPart(part));
  }
  const access = env.CLEARML_API_ACCESS_KEY?.trim();
  const secret = env.CLEARML_API_SECRET_KEY?.trim();
  if (access !== undefined && secret !== undefined) secrets.push(`${access}:${secret}`);
  return [...new Set(secrets)].filter((text) => text !== '');
}

/** Variables whose URLs may hold user names and passwords. */
const URL_VARIABLES = /(?:_HOST|_URL|_PROXY)$/i;

const SECRET_VARIABLES = new Set([
  'CLEARML_API_ACCESS_KEY',
  'CLEARML_API_SECRET_KEY',
  'CLEARML_AUTH_TOKEN',
  'ACCESS_KEY',
  'SECRET_KEY',
  'GH_TOKEN',
  'GITHUB_TOKEN',
  'ACTIONS_RUNTIME_TOKEN',
  'ACTIONS_ID_TOKEN_REQUEST_TOKEN',
]);

/** GitHub's token: `GH_TOKEN`, else `GITHUB_TOKEN`. Blanks around it are a slip of copying, as around the ClearML keys. */
export function readGithubToken(env: Environment): string | undefined {
  return (env.GH_TOKEN ?? env.GITHUB_TOKEN)?.trim();
}

/** The job's own token: `GITHUB_TOKEN`, where there is one. What it writes comes from GitHub Actions, which a rule can demand. */
export function readJobToken(env: Environment): string | undefined {
  return (env.GITHUB_TOKEN ?? env.GH_TOKEN)?.trim();
}

/**
 * The environment of a run, with what a `.env` file in the working directory adds. Actions runs ignore the file: a pull
 * request could commit one that sends the keys elsewhere.
 */
export async function readEnvironment(
  env: Variables,
  cwd: string,
): Promise<{ readonly env: Environment; readonly warnings: readonly string[] }> {
  const set = mergeEnvironments(env);
  if (isActions(set)) return { env: set, warnings: [] };
  let text: string;
  try {
    text = await readFile(join(cwd, '.env'), 'utf8');
  } catch {
    return { env: set, warnings: [] };
  }
  // Loaded only if there is a file.
  const { parse } = await import('dotenv');
  const parsed = parse(text);
  const cut = findCutSecrets(text, parsed).filter((name) => set[name] === undefined);
  return {
    env: mergeEnvironments(parsed, set),
    warnings: cut.map(
      (name) =>
        `in .env the value of ${name} ends before its "#", which begins a comment: put the value in quotes if it goes on`,
    ),
  };
}

/** Variables that hold a secret and whose unquoted value runs into a `#`: dotenv cuts it there, without a word. */
function findCutSecrets(text: string, parsed: Variables): string[] {
  const lines = text.matchAll(/^[^\S\n]*(?:export\s+)?([\w.-]+)(?:[^\S\n]*=|:[^\S\n])([^\n]*)/gm);
  // A quote at the start alone does not protect it.
  const cut = [...lines].filter(
    ([, name = '', value = '']) =>
      value.trim().startsWith(`${parsed[name]}#`) && !/^\s*#(?:\s|$)/.test(value),
  );
  return [...new Set(cut.map(([, name = '']) => name))].filter(
    (name) => SECRET_VARIABLES.has(name) || URL_VARIABLES.test(name),
  );
}
