/** Whether a pattern matches every name that another one does. One with `?` counts only for itself and for names. */
export function coversPattern(pattern: string, other: string): boolean {
  if (pattern === other) return true;
  // A star matches any characters, so also * and ?.
  return (!pattern.includes('?') || !/[*?]/.test(other)) && matchesPattern(pattern, other);
}

/**
 * Whether a name matches a pattern of the settings file: the whole `title/series`, where `*` and `?` also match `/`. Not a
 * regular expression, as many stars could take endless time.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const wanted = [...pattern];
  const given = [...name];
  let at = 0;
  // Where to continue after a mismatch: after the last star, which then covers one more character.
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
