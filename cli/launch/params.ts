import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { HyperParameter } from './plan.ts';

/** All params by their path (`Args/lr`); a flag wins over the settings file, a later flag over an earlier one. */
export function resolveParams(
  flags: readonly string[],
  configured: Readonly<Record<string, string | number | boolean>>,
): Map<string, string> {
  const params = new Map(
    Object.entries(configured).map(([name, value]) => [toParamPath(name), String(value)] as const),
  );
  for (const flag of flags) {
    const separator = flag.indexOf('=');
    if (separator < 1) {
      throw new Failure(`--param "${flag}" is not of the form [Section/]name=value`, {
        exitCode: EXIT_CODES.usage,
        remedy:
          'For example --param learning_rate=0.01 (section Args, where argparse’s arguments are) or --param General/depth=3.',
      });
    }
    params.set(toParamPath(flag.slice(0, separator)), flag.slice(separator + 1));
  }
  return params;
}

/** `Args/name` for a name without a section. */
export function toParamPath(name: string): string {
  const [section, ...rest] = name.trim().split('/');
  const path = rest.length === 0 ? `Args/${section}` : `${section}/${rest.join('/')}`;
  if (path.startsWith('/') || path.endsWith('/') || /\p{Cc}/u.test(path)) {
    throw new Failure(`the param "${name}" has no section or no name`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give [Section/]name, for example learning_rate or General/depth.',
    });
  }
  return path;
}

export function sortParams(params: ReadonlyMap<string, string>): Array<[string, string]> {
  return [...params].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

export function groupParams(
  params: ReadonlyMap<string, string>,
): Record<string, Record<string, HyperParameter>> {
  const sections = new Map<string, Record<string, HyperParameter>>();
  for (const [path, value] of params) {
    const separator = path.indexOf('/');
    const section = path.slice(0, separator);
    const name = path.slice(separator + 1);
    sections.set(section, { ...sections.get(section), [name]: { section, name, value } });
  }
  return Object.fromEntries(sections);
}
