import picomatch from 'picomatch';
import type { CheckoutReader } from '../github/git.ts';
import { failUsage } from '../shell/failure.ts';
import { hashText } from '../training/pipeline.ts';
import type { Code, LocatedCode } from './code.ts';

/**
 * The code's identity where only the files that `paths` names decide the result: a hash of their objects. Without a
 * local checkout, the commit.
 *
 * @throws Failure (usage) when no file matches
 */
export async function identifyPaths(
  located: LocatedCode,
  paths: readonly string[],
  reader: CheckoutReader,
): Promise<Code> {
  const { commit } = located;
  const tree = await reader.listTree(commit);
  if (tree === undefined) {
    const why =
      (await reader.explainUnreadable(commit)) ??
      `commit ${commit.slice(0, 10)} cannot be read here: this is no checkout`;
    const warning = `${why}. Until then paths has no effect`;
    return { ...located, codeId: commit, warnings: [warning] };
  }
  const matchers = paths.map((path) => ({ path, matches: picomatch(toPattern(path), { dot: true }) }));
  const entries = tree.filter((entry) => matchers.some(({ matches }) => matches(entry.path)));
  if (entries.length === 0) {
    throw failUsage(
      `no file of commit ${commit.slice(0, 10)} matches paths (${paths.join(', ')})`,
      'The setting paths holds patterns from the repository’s root, such as train_model.py or src/**.',
    );
  }
  const idle = matchers.filter(({ matches }) => !tree.some((entry) => matches(entry.path)));
  const objects = entries.map(({ mode, objectId, path }) => [mode, objectId, path]);
  return {
    ...located,
    codeId: await hashText(JSON.stringify(objects)),
    warnings: idle.map(({ path }) => `no file matches "${path}" of the setting paths`),
  };
}

/** `/src/` and `src` both mean everything in that folder, from the root. */
function toPattern(path: string): string[] {
  const pattern = path.replace(/^\.?\/+/, '');
  return pattern.endsWith('/') ? [`${pattern}**`] : [pattern, `${pattern}/**`];
}
