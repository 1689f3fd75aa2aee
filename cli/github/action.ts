import type { Command } from 'commander';
import type { ExitCode } from '../shell/failure.ts';
import { runAsProcess } from '../shell/process.ts';
import type { World } from '../shell/world.ts';

/** One input of a program's GitHub action. */
export interface ActionInput {
  /** `entry-point`; the runner hands it over as `INPUT_ENTRY-POINT`. */
  readonly name: string;
  readonly description: string;
  readonly isRequired: boolean;
  readonly kind: 'argument' | 'option' | 'list' | 'flag';
  /** Of a flag: whether it can be switched on, and off. */
  readonly isOn: boolean;
  readonly isOff: boolean;
}

/** What the runner gives to an action that asks for the job's own token. */
export const TOKEN_INPUT = 'github-token';

/** An input for each argument and each option of a program; `--no-x` is `x: false`. */
export function listActionInputs(command: Command): ActionInput[] {
  const inputs = new Map<string, ActionInput>();
  for (const argument of command.registeredArguments) {
    const name = argument.variadic ? `${argument.name()}s` : argument.name();
    const text = argument.variadic ? argument.description.split(';')[0] : argument.description;
    inputs.set(name, {
      name,
      description: text ?? '',
      isRequired: argument.required,
      kind: 'argument',
      isOn: false,
      isOff: false,
    });
  }
  for (const option of command.options) {
    if (option.long === undefined || option.long === '--version') continue;
    const name = option.long.replace(/^--(?:no-)?/, '');
    const known = inputs.get(name);
    const isFlag = !option.required && !option.optional;
    inputs.set(name, {
      name,
      description:
        known?.description ?? (option.negate ? `false: ${option.description}` : option.description),
      isRequired: false,
      // A repeatable option has a function that collects, one with choices has a function that compares.
      kind: isFlag
        ? 'flag'
        : option.parseArg === undefined || option.argChoices !== undefined
          ? 'option'
          : 'list',
      isOn: known?.isOn === true || (isFlag && !option.negate),
      isOff: known?.isOff === true || option.negate,
    });
  }
  return [...inputs.values()];
}

/** The command line that an action's inputs stand for. What is set to nothing is left out; a list has one item a line. */
export function toArguments(
  inputs: readonly ActionInput[],
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const options: string[] = [];
  const positional: string[] = [];
  for (const input of inputs) {
    const value = readInput(env, input.name);
    if (input.kind === 'argument') positional.push(value);
    if (value === '' || input.kind === 'argument') continue;
    if (input.kind === 'flag') options.push(...toFlag(input, value));
    else {
      const values =
        input.kind === 'list' ? value.split(/\r?\n/).filter((line) => line.trim() !== '') : [value];
      options.push(...values.map((item) => `--${input.name}=${item}`));
    }
  }
  while (positional.at(-1) === '') positional.pop();
  return [...options, '--', ...positional];
}

function toFlag({ name, isOn, isOff }: ActionInput, value: string): string[] {
  if (value === 'true') return isOn ? [`--${name}`] : [];
  if (value === 'false') return isOff ? [`--no-${name}`] : [];
  // The program refuses it and says which values there are.
  return [`--${name}=${value}`];
}

function readInput(env: Readonly<Record<string, string | undefined>>, name: string): string {
  return (env[`INPUT_${name.toUpperCase()}`] ?? '').trim();
}

/** Runs a program as the JavaScript action that the runner has started, its inputs for the command line. */
export async function runAsAction(program: {
  createCommand(): Command;
  main(world: World): Promise<ExitCode>;
}): Promise<void> {
  const main = (world: World) => {
    const token = readInput(world.env, TOKEN_INPUT);
    return program.main({
      ...world,
      argv: toArguments(listActionInputs(program.createCommand()), world.env),
      env: token === '' ? world.env : { ...world.env, GH_TOKEN: world.env.GH_TOKEN || token },
    });
  };
  await runAsProcess(async () => ({ main }));
}
