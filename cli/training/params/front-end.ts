import { RUNTIME_KEYS } from '../task.ts';
import { type GivenParam, readGivenParams } from './given.ts';

/** Front ends that let the params of a task stand for all arguments: those that it lacks lose their defaults. */
export type FrontEnd = 'click' | 'subparsers' | 'jsonargparse';

/** In words. */
export const FRONT_END_NAMES: Readonly<Record<FrontEnd, string>> = {
  click: 'click',
  subparsers: 'a parser with commands (argparse)',
  jsonargparse: 'jsonargparse or LightningCLI',
};

/** What helps with each, as tried with SDK 2.1.12, click 8.5, CPython 3.11's argparse and jsonargparse 4.53. */
export const FRONT_END_ADVICE: Readonly<Record<FrontEnd, string>> = {
  click:
    'On an agent, click gives None for each option that the task lacks. Import clearml only inside the command, and connect the options there: task.connect(options, name="Args").',
  subparsers:
    'Of a parser with commands, name the command in the entry point (--entry-point "train.py COMMAND"): its other arguments then keep their defaults.',
  jsonargparse:
    'With jsonargparse and LightningCLI a param in the section Args discards all other arguments. Give params in another section, and after Task.init add: sys.argv += [f"--{name}={value}" for name, value in task.get_parameters_as_dict().get("General", {}).items()].',
};

/** What shows the front end of a training that has run. */
export interface ShownParams {
  readonly runtime: Readonly<Record<string, string>>;
  readonly params: ReadonlyArray<{
    /** `Section/name` */
    readonly name: string;
    readonly value?: string | undefined;
    readonly type?: string | undefined;
    readonly description?: string | undefined;
  }>;
}

/** What a launch is about to give. */
export interface LaunchedParams {
  readonly params: ReadonlyMap<string, GivenParam>;
  readonly entryPoint: string;
}

/** click's own names of types, as `str()` shows them. */
const CLICK_TYPE =
  /^(?:click\.\w+|STRING|INT|FLOAT|BOOL|UUID|DateTime|Choice\(.*|<(?:\w+Range |click\.).*)$/s;
const CLICK_COMMAND = 'click.Command';
const JSONARGPARSE_TYPE = /^jsonargparse[._]/;
const JSONARGPARSE_NAME = /^Args\/_(?:ignore_ui_overrides|allow_config_file_override_from_ui)_$/;

/** A param that the training itself has declared. */
interface Declared {
  readonly name: string;
  readonly value: string;
  readonly type: string;
  readonly description: string;
}

/**
 * Which params of the training would lose their defaults in a launch.
 *
 * @returns undefined where the task shows nothing of its front end, so that another one may; `null` where nothing is lost
 */
export function findLostDefaults(
  shown: ShownParams,
  { params, entryPoint }: LaunchedParams,
): { readonly frontEnd: FrontEnd; readonly names: readonly string[] } | null | undefined {
  const declared = listDeclared(shown);
  if (declared.length === 0) return undefined;
  const frontEnd = recogniseFrontEnd(declared, readGivenParams(shown.runtime) !== undefined);
  if (frontEnd === undefined) return null;
  const isGiven = [...params.keys()].some((name) => name.startsWith('Args/'));
  const namesCommand = /\s[A-Za-z][\w-]*(?:\s|$)/.test(entryPoint);
  if (frontEnd !== 'click' && !isGiven) return null;
  if (frontEnd === 'subparsers' && namesCommand) return null;
  const command = [...params.values()].find(({ type }) => type === CLICK_COMMAND)?.name;
  const names = declared
    .filter(({ name }) => !params.has(name) && !JSONARGPARSE_NAME.test(name))
    .filter(({ name }) => command === undefined || name.startsWith(`${command}/`))
    .map(({ name }) => name.slice('Args/'.length));
  return names.length === 0 ? null : { frontEnd, names };
}

function listDeclared({ runtime, params }: ShownParams): Declared[] {
  const given = readGivenParams(runtime);
  const names = new Set(given?.map(({ name }) => name));
  // An older launch has not kept what it gave. The SDK gives that the type `str`.
  const isUnknown = given === undefined && runtime[RUNTIME_KEYS.key] !== undefined;
  return params
    .map(({ name, value = '', type = '', description = '' }) => ({ name, value, type, description }))
    .filter(
      ({ name, type }) => name.startsWith('Args/') && !names.has(name) && !(isUnknown && type === 'str'),
    )
    .filter(({ type, description }) => type !== '' || description !== '');
}

/** @param isLaunched the task was launched with a list of its params: what else it holds comes from the training alone */
function recogniseFrontEnd(declared: readonly Declared[], isLaunched: boolean): FrontEnd | undefined {
  const has = (test: (param: Declared) => boolean) => declared.some(test);
  if (has(({ type }) => CLICK_TYPE.test(type))) return 'click';
  if (has(({ name, type }) => JSONARGPARSE_TYPE.test(type) || JSONARGPARSE_NAME.test(name)))
    return 'jsonargparse';
  // argparse has a description for each argument, if only `None`, but not for the choice of a command.
  if (has(({ name, type, description }) => name.includes('.') && type !== 'str' && description === ''))
    return 'jsonargparse';
  const described = declared.filter(({ description }) => description !== '');
  // Without a command no argument of one has a value. Argparse's `append` has no description either.
  const isIdle = described.every(({ value, type }) => value === '' || !/^(?:int|float)$/.test(type));
  const command = !isLaunched ? /^[A-Za-z][\w-]*$/ : isIdle ? /^[\w-]*$/ : /^[\w-]+$/;
  const isCommand = ({ value, type, description }: Declared) =>
    type === 'str' && description === '' && command.test(value);
  const isArgparse = described.length > 0;
  return has(({ name }) => name.startsWith('Args//')) || (isArgparse && has(isCommand))
    ? 'subparsers'
    : undefined;
}
