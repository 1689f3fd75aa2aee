import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkAll, EXIT_CODES, Failure } from './failure.ts';

/** Environment variables; one that is set to nothing is left out (an absent repository secret is an empty string). */
export type Environment = Readonly<Record<string, string>>;

/** Merges variables, the earlier source winning, and leaves out those that are set to nothing. */
function mergeEnvironments(
  ...sources: ReadonlyArray<Readonly<Record<string, string | undefined>>>
): Environment {
  const merged: Record<string, string> = {};
  for (const source of [...sources].reverse()) {
    for (const [name, value] of Object.entries(source)) {
      if (value !== undefined && value.trim() !== '') merged[name] = value;
    }
  }
  return Object.freeze(merged);
}

/** Whether a GitHub Actions runner runs us. */
export function isActions(env: Environment): boolean {
  return env.GITHUB_ACTIONS === 'true';
}

/** Where ClearML is, and who we are there. Hosts have no trailing slash. */
export interface ClearmlAccess {
  readonly apiHost: string;
  readonly webHost: string;
  readonly filesHost: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** @throws Failure (usage) naming every variable that is missing or is no URL. */
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
  const missing = [
    ...(accessKey === undefined ? ['CLEARML_API_ACCESS_KEY'] : []),
    ...(secretKey === undefined ? ['CLEARML_API_SECRET_KEY'] : []),
  ];
  const isBoth = missing.length > 1;
  throw new Failure(`${missing.join(' and ')} ${isBoth ? 'are' : 'is'} not set`, {
    exitCode: EXIT_CODES.usage,
    remedy: isActions(env)
      ? `The workflow fills ${isBoth ? 'them from the repository secrets ACCESS_KEY and SECRET_KEY' : `it from the repository secret ${accessKey === undefined ? 'ACCESS_KEY' : 'SECRET_KEY'}`} (Settings > Secrets and variables > Actions); a pull request from a fork or by Dependabot gets no secrets.`
      : isBoth
        ? 'Create credentials in ClearML (Settings > Workspace > Create new credentials) and put them into the environment or into a .env file here; .env.example shows how.'
        : 'Put it into the environment or into a .env file here (.env.example shows how), beside the other, with which ClearML gave it: Settings > Workspace > Create new credentials makes a new pair.',
  });
}

/**
 * The three ClearML hosts. Those that are not given are derived from the API host as the SDK does
 * (`api.` becomes `app.` and `files.`, port 8008 becomes 8080 and 8081).
 *
 * @throws Failure (usage) naming every variable that is no http(s) URL
 */
export function readClearmlHosts(env: Environment): Pick<ClearmlAccess, 'apiHost' | 'webHost' | 'filesHost'> {
  const [apiHost = 'https://api.clear.ml', webHost, filesHost] = checkAll(
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
    throw new Failure(`${name} is not an http(s) URL`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give it with its scheme, as in https://api.clear.ml or http://localhost:8008.',
    });
  }
  // We sign in with keys, not with user name and password, and links with these hosts go into outputs and comments.
  return dropUserInfo(url.href.replace(/[?#].*$/, '').replace(/\/+$/, ''));
}

/** A URL without user name and password, as it may be shown and sent. */
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

/**
 * Every text in the environment that must never leave the process: keys, tokens, and the user info of URLs
 * (proxies and hosts).
 */
export function listSecrets(env: Environment): string[] {
  const secrets: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (SECRET_VARIABLES.has(name)) secrets.push(value, value.trim());
    const userInfo = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/\s@]+)@[^\s@]+$/i.exec(value.trim())?.[1];
    if (userInfo === undefined || !URL_VARIABLES.test(name)) continue;
    const separator = userInfo.indexOf(':');
    const parts = separator < 0 ? [userInfo] : [userInfo.slice(0, separator), userInfo.slice(separator + 1)];
    for (const part of [userInfo, ...parts]) secrets.push(part, safelyDecode(part));
  }
  const access = env.CLEARML_API_ACCESS_KEY?.trim();
  const secret = env.CLEARML_API_SECRET_KEY?.trim();
  if (access !== undefined && secret !== undefined) secrets.push(`${access}:${secret}`);
  return [...new Set(secrets)].filter((text) => text !== '');
}

/** Variables that hold URLs, in which user names and passwords may stand. */
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

function safelyDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The environment of a run: what is set, and outside Actions what a `.env` file in the working directory adds. In
 * Actions the file is not read: a pull request could commit one that sends the keys elsewhere.
 */
export async function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<Environment> {
  const set = mergeEnvironments(env);
  if (isActions(set)) return set;
  let text: string;
  try {
    text = await readFile(join(cwd, '.env'), 'utf8');
  } catch {
    return set;
  }
  // Loaded only where there is a file.
  const { parse } = await import('dotenv');
  return mergeEnvironments(env, parse(text));
}
