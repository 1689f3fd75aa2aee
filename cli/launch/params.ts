import { failUsage } from '../shell/failure.ts';
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
      throw failUsage(
        `invalid --param "${flag}": expected [Section/]name=value`,
        'For example --param learning_rate=0.01 (section Args, for the arguments of argparse) or --param General/depth=3.',
      );
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
    throw failUsage(
      `the param "${name}" has no section or no name`,
      'Give [Section/]name, for example learning_rate or General/depth.',
    );
  }
  return path;
}

/** The params by section, as `tasks.create` takes them. */
export function groupParams(
  params: ReadonlyMap<string, string>,
): Record<string, Record<string, HyperParameter>> {
  const sections = new Map<string, Record<string, HyperParameter>>();
  for (const [path, value] of params) {
    const [section = '', ...rest] = path.split('/');
    const name = rest.join('/');
    sections.set(section, { ...sections.get(section), [name]: { section, name, value } });
  }
  return Object.fromEntries(sections);
}
