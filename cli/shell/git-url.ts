/**
 * A clone URL that may be shown: user name and password or token go, but the user of an SSH URL stays,
 * since `git@host:` does not work without it.
 */
export function stripCredentials(cloneUrl: string): string {
  const url = parseUrl(cloneUrl);
  if (url === undefined) return cloneUrl;
  url.password = '';
  // Where some servers take tokens.
  url.search = '';
  url.hash = '';
  if (url.protocol !== 'ssh:' && url.protocol !== 'git+ssh:') url.username = '';
  return url.href;
}

/**
 * The repository a clone URL names, as host/owner/name in lower case: `git@`, `ssh://`, `https://` and a `.git` ending
 * make no difference.
 */
export function identifyRepository(cloneUrl: string): string {
  const scpLike = /^(?:[^@/\s]+@)?([^:/\s]+):(?!\/\/)(.+)$/.exec(cloneUrl);
  const url = parseUrl(cloneUrl);
  const [host, path] =
    url !== undefined ? [url.hostname, url.pathname] : [scpLike?.[1] ?? '', scpLike?.[2] ?? cloneUrl];
  const name = decodePath(path)
    .replace(/^\/+|\/+$/g, '')
    .replace(/\.git$/i, '');
  return (host === '' ? name : `${host}/${name}`).toLowerCase();
}

/** The last part of the repository's name: `digits` of `https://github.com/acme/digits.git`. */
export function nameRepository(cloneUrl: string): string {
  return (
    cloneUrl
      .replace(/\/+$/, '')
      .replace(/\.git$/i, '')
      .split(/[/:\\]/)
      .at(-1) ?? ''
  );
}

/** Whether git can clone from it: https, http, ssh, git or file URL, or `user@host:path`. */
export function isCloneUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text) || text.startsWith('-')) return false;
  const url = parseUrl(text);
  if (url !== undefined) {
    return (
      ['https:', 'http:', 'ssh:', 'git:', 'git+ssh:', 'file:'].includes(url.protocol) &&
      url.pathname.length > 1
    );
  }
  // user@host:path, where the path is no URL of its own.
  return /^[^@/\s:-][^@/\s:]*@[^:/\s-][^:/\s]*:(?!\/\/)[^\s@]+$/.test(text);
}

/** Where a browser finds the repository's web page, if the URL's host has one. */
export function toWebUrl(cloneUrl: string): string | undefined {
  const url = parseUrl(cloneUrl);
  if (url?.protocol === 'file:') return undefined;
  return `https://${identifyRepository(cloneUrl)}`;
}

function parseUrl(text: string): URL | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
