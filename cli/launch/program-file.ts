import { distance } from 'fastest-levenshtein';
import type { CheckoutReader } from '../github/git.ts';
import { findProgramFile } from '../training/names.ts';

/** Git's modes of links and submodules: this tree does not show what they lead to. */
const LINK_MODES: readonly string[] = ['120000', '160000'];
const FOLDER_MODE = '040000';
/** No real path is deeper. Each folder on the way is asked for. */
const MAX_DEPTH = 100;
/** How many near names are listed. */
const MAX_NAMES = 3;

/**
 * Checks that a commit holds the program to run, where the commit can be read locally: a misspelt name would show
 * minutes later, on the agent. Modules (`-m pkg.train`), names with blanks, submodules and links are not checked.
 *
 * @returns a warning where the program is missing. Not an error: an agent may be set up to make the program itself
 */
export async function findProgramProblem(
  { workingDir, entryPoint }: { readonly workingDir: string; readonly entryPoint: string },
  { commit, diff }: { readonly commit: string; readonly diff: string },
  reader: Pick<CheckoutReader, 'readPath' | 'listTree'>,
): Promise<string | undefined> {
  // Uncommitted changes may add it.
  if (diff !== '') return undefined;
  const folders = workingDir === '.' ? [] : workingDir.split('/');
  const file = findProgramFile(entryPoint)?.split('/') ?? [];
  // The agent reads an entry point with arguments as a shell does, and expands variables in it.
  const isPlain = file.every((part) => !/["'$\s]|^\.{0,2}$/.test(part));
  const parts = [...folders, ...(isPlain ? file : [])];
  if (parts.length === 0 || parts.length > MAX_DEPTH) return undefined;
  const path = parts.join('/');
  const entries = await reader.readPath(commit, path);
  if (entries === undefined) return undefined;
  const modes = new Map(entries.map((entry) => [entry.path, entry.mode]));
  for (let length = 1; length <= parts.length; length += 1) {
    const mode = modes.get(parts.slice(0, length).join('/'));
    if (mode !== undefined && LINK_MODES.includes(mode)) return undefined;
    const isFolder = length < parts.length || length === folders.length;
    if (mode !== undefined && (mode === FOLDER_MODE) === isFolder) continue;
    const isWorkingDir = length <= folders.length;
    const missing = isWorkingDir ? workingDir : path;
    const near = await listNear(missing, isWorkingDir ? 'folder' : 'file', commit, reader);
    return `commit ${commit.slice(0, 10)} has no ${isWorkingDir ? 'folder' : 'file'} "${missing}": the training would fail at its start${near === '' ? '' : `; nearest: ${near}`}. Correct ${isWorkingDir ? '--working-dir' : '--entry-point'}, here or in the settings file.`;
  }
  return undefined;
}

async function listNear(
  path: string,
  kind: 'file' | 'folder',
  commit: string,
  reader: Pick<CheckoutReader, 'listTree'>,
): Promise<string> {
  const files = ((await reader.listTree(commit)) ?? []).map((entry) => entry.path);
  const ending = /[^/](\.[^./]+)$/.exec(path)?.[1] ?? '';
  const names = kind === 'file' ? files.filter((name) => name.endsWith(ending)) : files.flatMap(listFolders);
  const baseName = (name: string) => name.split('/').at(-1)?.toLowerCase() ?? '';
  // The right name in another folder is nearer than any other name.
  const measure = (name: string) =>
    baseName(name) === baseName(path) ? 0 : 1 + distance(name.toLowerCase(), path.toLowerCase());
  return [...new Set(names)]
    .map((name) => ({ name, far: measure(name) }))
    .sort((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_NAMES)
    .map(({ name }) => `"${name}"`)
    .join(', ');
}

/** `a/b/c.py` gives `a` and `a/b`. */
function listFolders(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}
