import type { GitHistory } from '../sandbox/git-history.ts';

type Ask = (...question: readonly unknown[]) => unknown;

/** Asks `history` each question once: for a repository to which nothing is committed any more. */
export function rememberHistory(history: GitHistory): GitHistory {
  const remember = (ask: Ask): Ask => {
    const answers = new Map<string, unknown>();
    return (...question) => {
      const key = JSON.stringify(question);
      if (!answers.has(key)) answers.set(key, ask(...question));
      return answers.get(key);
    };
  };
  return Object.fromEntries(
    Object.entries(history).map(([name, ask]) => [name, remember(ask as Ask)]),
  ) as unknown as GitHistory;
}
