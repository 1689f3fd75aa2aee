/**
 * Whether a pattern matches every name that another one does. One with `?` is taken to cover only itself and names, which
 * may miss a case but claims none.
 */
export function coversPattern(pattern: string, other: string): boolean {
  if (pattern === other) return true;
  // A star stands for any characters, those that stand for others included.
  return (!pattern.includes('?') || !/[*?]/.test(other)) && matchesPattern(pattern, other);
}

/**
 * Whether a name matches a pattern of the settings file: the whole `title/series`; `*` and `?` match any characters,
 * `/` included. Not by a regular expression: one with many stars could take for ever.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const wanted = [...pattern];
  const given = [...name];
  let at = 0;
  // Where to go on when the present attempt fails: after the last star, one more character of the name under it.
  let afterStar: number | undefined;
  let retryFrom = 0;
  for (let index = 0; index < given.length; ) {
    if (wanted[at] === '*') {
      at += 1;
      afterStar = at;
      retryFrom = index;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === given[index])) {
      at += 1;
      index += 1;
    } else if (afterStar !== undefined) {
      retryFrom += 1;
      index = retryFrom;
      at = afterStar;
    } else return false;
  }
  return wanted.slice(at).every((character) => character === '*');
}
