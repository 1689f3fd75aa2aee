import type { Command } from 'commander';
import type { ExitCode } from '../shell/failure.ts';
import { runAsProcess } from '../shell/process.ts';
import type { World } from '../shell/world.ts';

/** One input of a program's GitHub action. */
export interface ActionInput {
  /** `entry-point`; the runner sets `INPUT_ENTRY-POINT`. */
  readonly name: string;
  readonly description: string;
  readonly isRequired: boolean;
  readonly kind: 'argument' | 'option' | 'list' | 'flag';
  /** Whether a flag can be switched on, and off. */
  readonly isOn: boolean;
  readonly isOff: boolean;
}

/** The input that holds the job's own token. */
export const TOKEN_INPUT = 'github-token';

/** An input for each argument and each option of a program; `--no-x` is `x: false`. */
export function listActionInputs(command: Command): ActionInput[] {
  const inputs = new Map<string, ActionInput>();
  for (const argument of command.registeredArguments) {
    const { variadic, description: text, required: isRequired } = argument;
    const name = variadic ? `${argument.name()}s` : argument.name();
    const description = variadic ? (text.split(';')[0] ?? '') : text;
    inputs.set(name, { name, description, isRequired, kind: 'argument', isOn: false, isOff: false });
  }
  for (const option of command.options) {
    if (option.long === undefined || option.long === '--version') continue;
    const name = option.long.replace(/^--(?:no-)?/, '');
    const known = inputs.get(name);
    const isFlag = !option.required && !option.optional;
    // The parser of a repeatable option collects values, that of an option with choices compares them.
    const isList = option.parseArg !== undefined && option.argChoices === undefined;
    const description = option.negate ? `false: ${option.description}` : option.description;
    inputs.set(name, {
      name,
      description: known?.description ?? description,
      isRequired: false,
      kind: isFlag ? 'flag' : isList ? 'list' : 'option',
      isOn: known?.isOn === true || (isFlag && !option.negate),
      isOff: known?.isOff === true || option.negate,
    });
  }
  return [...inputs.values()];
}

/** The command line of an action's inputs. Empty inputs are left out; a list has one item per line. */
export function toArguments(
  inputs: readonly ActionInput[],
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const options: string[] = [];
  const positional: string[] = [];
  for (const input of inputs) {
    const value = readInput(env, input.name);
    if (input.kind === 'argument') positional.push(value);
    else if (input.kind === 'flag') options.push(...toFlag(input, value));
    else {
      const values = input.kind === 'list' ? value.split(/\r?\n/) : [value];
      options.push(...values.filter((item) => item.trim() !== '').map((item) => `--${input.name}=${item}`));
    }
  }
  while (positional.at(-1) === '') positional.pop();
  return [...options, '--', ...positional];
}

function toFlag({ name, isOn, isOff }: ActionInput, value: string): string[] {
  if (value === '') return [];
  if (value === 'true') return isOn ? [`--${name}`] : [];
  if (value === 'false') return isOff ? [`--no-${name}`] : [];
  // The program refuses other values and names the valid ones.
  return [`--${name}=${value}`];
}

/** An input's value, without blanks around it; empty where it was not given. */
export function readInput(env: Readonly<Record<string, string | undefined>>, name: string): string {
  return (env[`INPUT_${name.toUpperCase()}`] ?? '').trim();
}

/** An `on-change` of the user's comes later on the command line, and counts. */
function reportChanges(reporter: string, env: World['env']): string[] {
  const wish = readInput(env, COMMENT_INPUT);
  if (wish === 'true') return [`--on-change="${process.execPath}" "${reporter}" --no-gate --no-summary`];
  return wish === '' || wish === 'false' ? [] : [`--${COMMENT_INPUT}=${wish}`];
}

/** The input of check-task-running that has the comment updated meanwhile. */
export const COMMENT_INPUT = 'comment';

/**
 * Runs a program as a JavaScript action: the action's inputs are its command line.
 *
 * @param reporter file of the neighbouring action that posts the comment, for a program that can have it run
 */
export async function runAsAction(
  program: { createCommand(): Command; main(world: World): Promise<ExitCode> },
  reporter?: string,
): Promise<void> {
  const main = (world: World) => {
    const inputs = toArguments(listActionInputs(program.createCommand()), world.env);
    return program.main({
      ...giveToken(world),
      // The runner gives no arguments, a neighbour does.
      argv: [...world.argv, ...(reporter === undefined ? [] : reportChanges(reporter, world.env)), ...inputs],
    });
  };
  await runAsProcess(async () => ({ main }));
}

/** The token of the input is that of the variables, where these are not set. */
export function giveToken(world: World): World {
  const token = readInput(world.env, TOKEN_INPUT);
  if (token === '') return world;
  const { GH_TOKEN, GITHUB_TOKEN } = world.env;
  return {
    ...world,
    env: { ...world.env, GH_TOKEN: GH_TOKEN || token, GITHUB_TOKEN: GITHUB_TOKEN || token },
  };
}
