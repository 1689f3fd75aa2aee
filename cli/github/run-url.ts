import { dropUserInfo, type Environment } from '../shell/environment.ts';
import type { GithubRun } from './event.ts';

/** Without user name, password and trailing slash. */
export function readServerUrl({ GITHUB_SERVER_URL: text = 'https://github.com' }: Environment): string {
  return dropUserInfo(text.replace(/\/+$/, ''));
}

/** The page of a workflow run; undefined outside Actions. */
export function formatRunUrl({
  runId,
  repository,
  serverUrl,
}: Pick<GithubRun, 'runId' | 'repository' | 'serverUrl'>): string | undefined {
  if (runId === undefined || repository === undefined) return undefined;
  return `${serverUrl}/${repository}/actions/runs/${encodeURIComponent(runId)}`;
}
