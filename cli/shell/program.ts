import { setMaxListeners } from 'node:events';
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import type * as commander from 'commander';
import { type Environment, isActions, listSecrets, readEnvironment } from './environment.ts';
import { EXIT_CODES, type ExitCode, Failure } from './failure.ts';
import { createRedactor, type Redact } from './redaction.ts';
import type { Clock, Signal, World } from './world.ts';

// By require: see http.ts.
const require = createRequire(import.meta.url);

const { Command, CommanderError, Option } = require('commander') as typeof commander;
type Command = commander.Command;

export { Command, Option };

/** What a running program holds: its environment, its two voices and the wish of whoever started it to end it. */
export interface Session {
  readonly env: Environment;
  readonly cwd: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly redact: Redact;
  readonly voice: Voice;
  /** Aborted, with an `Interruption` as the reason, at the first SIGINT or SIGTERM. */
  readonly interruption: AbortSignal;
  /** A person sits in front of it, and is no runner. */
  readonly isAttended: boolean;
}

/** Both streams, free of secrets and of anything that the runner would take for a command. */
export interface Voice {
  /** One line or more of the result: stdout. */
  result(text: string): void;
  /** A line of talk: stderr. */
  say(text: string): void;
  /** A line of talk that should not be missed; in Actions an annotation too. */
  warn(text: string): void;
  /** An annotation, in Actions only. */
  annotate(...annotation: Parameters<typeof formatAnnotation>): void;
  /** stderr is a terminal: what changes may be drawn over. */
  readonly isTerminal: boolean;
  /** Colours are welcome: a terminal, and the variables do not say otherwise. */
  readonly isColored: boolean;
  readonly columns: number;
  /** Text drawn as it is, without a line end: for live lines on a terminal. Secrets are taken out. */
  draw(text: string): void;
}

/** Why a program ends early: somebody sent it a signal. */
export class Interruption extends Error {
  override readonly name = 'Interruption';
  readonly signal: Signal;
  readonly exitCode: ExitCode;

  constructor(signal: Signal) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
    this.exitCode = signal === 'SIGINT' ? EXIT_CODES.interrupted : EXIT_CODES.terminated;
  }
}

const ISSUES_URL = 'the issue tracker of the repository these programs came from';

/**
 * Runs one program: reads the environment, parses the arguments, calls `action`, and turns whatever comes of it into an
 * exit code and, where it failed, a message. A second SIGINT, or a second SIGTERM, ends it at once with the first
 * signal's code.
 *
 * @param createCommand the options; it is given the chance to read none of them (`--help` and `--version` end here)
 */
export async function runProgram(
  world: World,
  createCommand: () => Command,
  action: (command: Command, session: Session) => Promise<ExitCode>,
): Promise<ExitCode> {
  const interruption = new AbortController();
  // Each request under way listens, and there may be hundreds.
  setMaxListeners(0, interruption.signal);
  let endAtOnce: (exitCode: ExitCode) => void = () => undefined;
  const hurry = new Promise<ExitCode>((resolve) => {
    endAtOnce = resolve;
  });
  const unsubscribe = world.onSignal((signal) => {
    const first: unknown = interruption.signal.reason;
    if (!(first instanceof Interruption)) interruption.abort(new Interruption(signal));
    // The runner sends SIGTERM 7.5 s after SIGINT; that is the same interruption.
    else if (signal === 'SIGINT' || first.signal === 'SIGTERM') endAtOnce(first.exitCode);
  });
  // Whether colours are wanted may stand in the .env file.
  let voice = createVoice(world, { NO_COLOR: '1' }, (text) => text);
  try {
    const { env, warnings } = await readEnvironment(world.env, world.cwd);
    const redact = createRedactor(listSecrets(env));
    voice = createVoice(world, env, redact);
    const command = parseArguments(world, createCommand(), voice);
    if (command === undefined) return EXIT_CODES.done;
    for (const warning of warnings) voice.warn(warning);
    const session: Session = {
      env,
      cwd: world.cwd,
      clock: world.clock,
      random: world.random,
      redact,
      voice,
      interruption: interruption.signal,
      isAttended: voice.isTerminal || (world.hasKeyboard === true && !isActions(env)),
    };
    return await Promise.race([action(command, session), hurry]);
  } catch (error) {
    return reportError(error, voice, world);
  } finally {
    unsubscribe();
  }
}

/** @returns undefined where `--help` or `--version` was all that was asked for. */
function parseArguments(world: World, command: Command, voice: Voice): Command | undefined {
  command.exitOverride().configureOutput({
    writeOut: (text) => void voice.result(text.trimEnd()),
    // Our own message follows, in the form all errors have.
    writeErr: () => undefined,
    outputError: () => undefined,
    getOutHelpWidth: () => Math.min(world.stdout.columns ?? 100, 120),
    getOutHasColors: () => false,
  });
  try {
    return command.parse(world.argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new Failure(error.message.replace(/^error: /, '').trim(), {
      exitCode: EXIT_CODES.usage,
      remedy: `${command.name()} --help lists the arguments and options.`,
      cause: error,
    });
  }
}

/**
 * The options as they were given. One that is set to nothing, or to blanks, counts as left out, as a variable does:
 * `--queue "$QUEUE"`. So does each such value of a repeatable one.
 */
export function readFlags<Flags extends object>(command: Command): Flags {
  const isGiven = (value: unknown) => typeof value !== 'string' || value.trim() !== '';
  const given = Object.entries(command.opts())
    .map(([name, value]) => [name, Array.isArray(value) ? value.filter(isGiven) : value] as const)
    .filter(([, value]) => isGiven(value) && !(Array.isArray(value) && value.length === 0));
  return Object.fromEntries(given) as Flags;
}

function reportError(error: unknown, voice: Voice, world: World): ExitCode {
  if (error instanceof Interruption) {
    voice.say(error.message);
    return error.exitCode;
  }
  if (error instanceof Failure) {
    voice.say(`error: ${error.message}\n${error.remedy}`);
    for (const { message, file, line } of error.notes) {
      const path = file === undefined ? undefined : locateInWorkspace(file, world);
      if (path === undefined) voice.annotate('error', file === undefined ? message : `${file}: ${message}`);
      else voice.annotate('error', message, { file: path, ...(line === undefined ? {} : { line }) });
    }
    return error.exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  voice.say(
    `error: a bug of ours: ${error instanceof Error ? error.message : String(error)}\n` +
      `Please report it, with the lines below, in ${ISSUES_URL}.\n${stack}`,
  );
  voice.annotate('error', `a bug of ours: ${error instanceof Error ? error.message : String(error)}`);
  return EXIT_CODES.bug;
}

/** A file as the runner's annotations name it: relative to GITHUB_WORKSPACE. undefined where it lies outside. */
function locateInWorkspace(file: string, { cwd, env }: World): string | undefined {
  const follow = (path: string) => (existsSync(path) ? realpathSync(path) : path);
  const path = relative(follow(env.GITHUB_WORKSPACE || cwd), resolve(follow(cwd), file));
  return path.startsWith('..') || isAbsolute(path) ? undefined : path.split(sep).join('/');
}

function createVoice(world: World, env: Environment, redact: Redact): Voice {
  const inActions = isActions(env);
  const clean = (text: string) => (inActions ? neutralizeCommands(redact(text)) : redact(text));
  const isTerminal = world.stderr.isTTY === true && !inActions;
  const isColored = isTerminal && wantsColors(env);
  const paint = (text: string) => (isColored ? paintFirstWord(text) : text);
  const annotate: Voice['annotate'] = (level, message, place) => {
    if (inActions) world.stderr.write(`${formatAnnotation(level, redact(message), place)}\n`);
  };
  return {
    result: (text) => void world.stdout.write(`${clean(text)}\n`),
    say: (text) => void world.stderr.write(`${paint(clean(text))}\n`),
    warn: (text) => {
      if (inActions) annotate('warning', text);
      else world.stderr.write(`${paint(clean(`warning: ${text}`))}\n`);
    },
    annotate,
    isTerminal,
    isColored,
    // A terminal that does not know its width says 0.
    columns: world.stderr.columns || 80,
    draw: (text) => void world.stderr.write(redact(text)),
  };
}

/** Whether a terminal is to show colours: FORCE_COLOR and TERM as Node reads them, but NO_COLOR (no-color.org) wins. */
function wantsColors({ FORCE_COLOR, NO_COLOR, TERM }: Environment): boolean {
  if (NO_COLOR !== undefined) return false;
  return FORCE_COLOR === undefined ? TERM !== 'dumb' : ['1', '2', '3', 'true'].includes(FORCE_COLOR);
}

const COLORS = { error: 31, warning: 33 } as const;

/** Only the word is coloured, so that the message is copied as it is. */
function paintFirstWord(text: string): string {
  return text.replace(
    /^(error|warning):/,
    (word, level: keyof typeof COLORS) => `\u001b[${COLORS[level]}m${word}\u001b[39m`,
  );
}

/**
 * Makes text inert for the runner: it obeys `::command::` after leading blanks (those of .NET: U+0085 is one) and
 * `##[command]` anywhere in a line of either stream. A zero-width space breaks both without a visible trace.
 */
export function neutralizeCommands(text: string): string {
  return text
    .replace(/(^|[\n\r\u2028\u2029])((?:[^\S\n\r]|\u0085)*):(?=:)/g, '$1$2:\u200b')
    .replaceAll('##[', '##\u200b[');
}

/** One annotation: `::error::…`, escaped as `actions/toolkit` does. `file` and `line` tie it to the diff. */
export function formatAnnotation(
  level: 'error' | 'warning' | 'notice',
  message: string,
  place: { readonly file?: string; readonly line?: number; readonly title?: string } = {},
): string {
  const properties = Object.entries(place)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${escapeProperty(String(value))}`)
    .join(',');
  // GitHub cuts a message at 4,096 characters; the cut is made before the escapes so that none is halved.
  const cut = [...message].slice(0, 4000).join('');
  return `::${level}${properties === '' ? '' : ` ${properties}`}::${escapeData(cut)}`;
}

function escapeData(text: string): string {
  return text
    .replaceAll('%', '%25')
    .replaceAll('\r', '%0D')
    .replaceAll('\n', '%0A')
    .replaceAll('##[', '##%5B');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
