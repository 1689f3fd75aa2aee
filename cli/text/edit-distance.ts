/**
 * How many letters must be added, left out or replaced to turn one text into the other (Levenshtein's distance). For short
 * names in programs that load no package for it.
 */
export function countEdits(a: string, b: string): number {
  const [one, other] = [[...a], [...b]];
  let row = [...other.keys(), other.length];
  for (const [index, letter] of one.entries()) {
    const next = [index + 1];
    for (const [at, found] of other.entries()) {
      const replaced = (row[at] ?? 0) + (letter === found ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
