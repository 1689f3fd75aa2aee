import type { Config } from '../shell/config.ts';
import { failUsage } from '../shell/failure.ts';
import { splitParamName } from '../text/param-name.ts';
import { toParamPath } from '../training/names.ts';
import type { GivenParam } from '../training/params/given.ts';
import type { HyperParameter } from './plan.ts';

/** Params by their path (`Args/lr`). */
export type Params = ReadonlyMap<string, GivenParam>;

/** All params; a flag wins over the settings file, a later flag over an earlier one. */
export function resolveParams(
  flags: readonly string[],
  configured: NonNullable<Config['params']>,
): Map<string, GivenParam> {
  const fromFile = Object.entries(configured).map(([name, given]) =>
    typeof given === 'object'
      ? toParam(name, String(given.value), given.type)
      : toParam(name, String(given), undefined),
  );
  return new Map([...fromFile, ...flags.map(readFlag)].map((param) => [param.name, param]));
}

function readFlag(flag: string): GivenParam {
  const separator = flag.indexOf('=');
  if (separator < 1) {
    throw failUsage(
      `invalid --param "${flag}": expected [Section/]name=value`,
      'For example --param learning_rate=0.01 (section Args, for the arguments of argparse) or --param General/depth=3.',
    );
  }
  const named = splitParamName(flag.slice(0, separator));
  if (named === undefined) {
    throw failUsage(
      `invalid --param "${flag}": what follows the colon in its name is not a type`,
      'For example --param shuffle:bool=false. Give a name that has a colon itself in the settings file, under params.',
    );
  }
  return toParam(named.name, flag.slice(separator + 1), named.type);
}

function toParam(name: string, value: string, type: string | undefined): GivenParam {
  return { name: toParamPath(name), value, ...(type === undefined ? {} : { type }) };
}

/** In an order that does not depend on who gave which. */
export function sortParams(params: Params): GivenParam[] {
  return [...params.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The params by section, as `tasks.create` takes them. */
export function groupParams(params: Params): Record<string, Record<string, HyperParameter>> {
  const sections = new Map<string, Record<string, HyperParameter>>();
  for (const { name: path, value, type } of params.values()) {
    const [section = '', ...rest] = path.split('/');
    const name = rest.join('/');
    const param = { section, name, value, ...(type === undefined ? {} : { type }) };
    sections.set(section, { ...sections.get(section), [name]: param });
  }
  return Object.fromEntries(sections);
}
