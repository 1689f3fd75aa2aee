import picomatch from 'picomatch';
import type { CheckoutReader } from '../github/git.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { hashText } from '../training/pipeline.ts';
import type { Code, LocatedCode } from './code.ts';

/**
 * The code's identity where only the files that `paths` names decide the result: a hash of their objects; where the
 * commit can't be read here, the commit.
 *
 * @throws Failure (usage) when no file matches
 */
export async function identifyPaths(
  { location, diff }: LocatedCode,
  paths: readonly string[],
  reader: CheckoutReader,
): Promise<{ readonly code: Code; readonly warnings: readonly string[] }> {
  const { commit } = location;
  const tree = await reader.listTree(commit);
  if (tree === undefined) {
    return {
      code: { ...location, diff, codeId: commit },
      warnings: [
        `commit ${commit.slice(0, 10)} cannot be read here, so paths has no effect: check the commit out before this step (and see that git trusts the folder: safe.directory)`,
      ],
    };
  }
  const matchers = paths.map((path) => ({ path, matches: picomatch(toPattern(path), { dot: true }) }));
  const entries = tree.filter((entry) => matchers.some(({ matches }) => matches(entry.path)));
  if (entries.length === 0) {
    throw new Failure(`no file of commit ${commit.slice(0, 10)} matches paths (${paths.join(', ')})`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'paths in the settings file are patterns from the repository’s root, such as train_model.py or src/**.',
    });
  }
  const idle = matchers.filter(({ matches }) => !tree.some((entry) => matches(entry.path)));
  const codeId = await hashText(
    JSON.stringify(entries.map(({ mode, objectId, path }) => [mode, objectId, path])),
  );
  return {
    code: { ...location, diff, codeId },
    warnings: idle.map(({ path }) => `no file matches "${path}" of paths in the settings file`),
  };
}

/** `/src/` and `src` mean what they say to people: everything in that folder, from the root. */
function toPattern(path: string): string[] {
  const pattern = path.replace(/^\.?\/+/, '');
  return pattern.endsWith('/') ? [`${pattern}**`] : [pattern, `${pattern}/**`];
}
