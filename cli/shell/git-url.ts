/** A clone URL without user name, password and token. An SSH URL keeps its user: `git@host:` needs it. */
export function stripCredentials(cloneUrl: string): string {
  const url = parseUrl(cloneUrl);
  if (url === undefined) return cloneUrl;
  url.password = '';
  // Some servers take tokens here.
  url.search = '';
  url.hash = '';
  if (url.protocol !== 'ssh:' && url.protocol !== 'git+ssh:') url.username = '';
  return url.href;
}

/** The repository of a clone URL as host/owner/name in lower case, whatever the scheme and with or without `.git`. */
export function identifyRepository(cloneUrl: string): string {
  const scpLike = /^(?:[^@/\s]+@)?([^:/\s]+):(?!\/\/)(.+)$/.exec(cloneUrl);
  const url = parseUrl(cloneUrl);
  const [host, path] =
    url !== undefined ? [url.hostname, url.pathname] : [scpLike?.[1] ?? '', scpLike?.[2] ?? cloneUrl];
  const name = decodeUrlPart(path)
    .replace(/^\/+|\/+$/g, '')
    .replace(/\.git$/i, '');
  return (host === '' ? name : `${host}/${name}`).toLowerCase();
}

/** The last part of the repository's name: `digits` of `https://github.com/acme/digits.git`. */
export function nameRepository(cloneUrl: string): string {
  const path = cloneUrl.replace(/\/+$/, '').replace(/\.git$/i, '');
  return path.split(/[/:\\]/).at(-1) ?? '';
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
  // user@host:path, where the path is not itself a URL.
  return /^[^@/\s:-][^@/\s:]*@[^:/\s-][^:/\s]*:(?!\/\/)[^\s@]+$/.test(text);
}

/** The address of the repository's web page; undefined for a file URL. */
export function toWebUrl(cloneUrl: string): string | undefined {
  return parseUrl(cloneUrl)?.protocol === 'file:' ? undefined : `https://${identifyRepository(cloneUrl)}`;
}

function parseUrl(text: string): URL | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}

/** Part of a URL, decoded; as it is where its percent signs encode nothing. */
export function decodeUrlPart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
