import { distance } from 'fastest-levenshtein';
import { isEnded, isSuccess, type TaskStatus } from '../task.ts';
import { type GivenParam, readGivenParams } from './given.ts';
import { isSameValue } from './value.ts';

/** A hyperparameter as a task keeps it. */
export interface TaskParam {
  /** `Section/name` */
  readonly name: string;
  /** undefined for one without a text */
  readonly value: string | undefined;
  /** What the SDK, or whoever sent it, says of it; undefined or empty where nobody did. */
  readonly type: string | undefined;
  readonly description: string | undefined;
}

/** The same with empty texts for what it has not. */
type HeldParam = { readonly [Key in keyof TaskParam]: string };

/** `undeclared`: nothing in the training declared it; `overwritten`: the task holds another value. */
export type ParamState = 'kept' | 'overwritten' | 'undeclared';

/** What became of a param that a launch gave. */
export interface Arrival {
  /** `Section/name` */
  readonly name: string;
  readonly given: string;
  /** What the task holds; null if nothing. */
  readonly value: string | null;
  readonly state: ParamState;
  /** Of an undeclared one: what the training declares instead, if a name is near. */
  readonly near?: string | undefined;
}

/** What tells what became of a task's params. */
export interface ParamsOfTask {
  readonly status: TaskStatus;
  /** The newest iteration with a report. */
  readonly iteration: number;
  readonly runtime: Readonly<Record<string, string>>;
  /** undefined if not asked for */
  readonly held?: readonly TaskParam[] | undefined;
}

/*
 * What the SDK leaves in a task that it did not create (SDK 2.1.12). argparse, absl and `task.connect` add the params that
 * the task lacks, with their types (args.py `copy_to_parser`, `copy_to_dict`). Each time all others get the type `str`
 * (task.py `_set_parameters`), whether anything declared them or not. click, fire, jsonargparse and `get_parameter` write
 * nothing. So a given param's own entry says little, and the others of its section say whether something reads the section.
 */

/** Sections that are no settings of a training. */
const RECORDS = /^(?:properties|Datasets?)\//;
/** Sections that libraries fill with all of their settings. */
const LIBRARY_RECORDS = /^(?:Transformers|TB_hparams)\//;
/** Hydra's own entry: the SDK adds it to each program that uses Hydra. */
const HYDRA_MARK = 'Hydra/_allow_omegaconf_edit_';
/** What fire itself takes: the SDK adds them, as fire reads them with argparse. */
const FIRE_FLAGS = ['completion', 'help', 'interactive', 'separator', 'trace', 'verbose'];
/** What Hydra itself takes. The SDK removes the overrides at the end. */
const HYDRA_OVERRIDES = 'Args/overrides';
const HYDRA_ARGUMENT = /^Args\/(?:overrides|multirun|config_(?:path|name|dir)|experimental_rerun)$/;
/** Types by which a launch tells the SDK how click, fire or jsonargparse take a param: those leave no trace. */
const FRONT_END_TYPE = /^(?:click|fire|jsonargparse)[._]/i;

/** Names that the training declared and its launch did not give. */
export function listDeclared({ runtime, held = [] }: Pick<ParamsOfTask, 'runtime' | 'held'>): string[] {
  const given = readGivenParams(runtime)?.map(({ name }) => name);
  return (
    held
      .filter((param) => isTyped(param) && given?.includes(param.name) !== true)
      // Which params an older launch gave is unknown, and the SDK types those as texts.
      .filter(({ type, description }) => given !== undefined || type !== 'str' || (description ?? '') !== '')
      .map(({ name }) => name)
  );
}

/**
 * What became of the params that the launch gave: only of those of which the task shows it. A task that waits, one that
 * failed before it could declare anything, and one of an older launch show nothing.
 *
 * @param known names that other tasks of the pipeline declared
 */
export function judgeArrival(task: ParamsOfTask, known: Iterable<string> = []): Arrival[] {
  const { status, iteration, runtime } = task;
  const held = task.held?.map(fill);
  const given = readGivenParams(runtime) ?? [];
  const hasStarted = status === 'in_progress' || status === 'publishing' || isEnded(status);
  if (held === undefined || given.length === 0 || !hasStarted) return [];
  const names = new Set(given.map(({ name }) => name));
  const declared = held.filter(
    (param) => !names.has(param.name) && isTyped(param) && !RECORDS.test(param.name),
  );
  // A front end declares all its params before the training reports anything.
  const hasRun = isSuccess(status) || iteration > 0;
  const hasTold = hasRun || (isEnded(status) && declared.length > 0);
  const byName = new Map(held.map((param) => [param.name, param]));
  const types = new Map(given.map(({ name, type }) => [name, type]));
  const evidence: Evidence = {
    declared,
    hasRun,
    known: new Set(known),
    // A type of ours is no sign.
    isTouched: held.some(
      (param) => isTyped(param) && !RECORDS.test(param.name) && param.type !== types.get(param.name),
    ),
    isInstructed: given.some(({ type }) => isFrontEndType(type)),
  };
  return given.flatMap((param): Arrival[] => {
    const { name, value } = param;
    const own = byName.get(name);
    if (own === undefined && name === HYDRA_OVERRIDES) return [];
    const result = { name, given: value, value: own?.value ?? null };
    if (own === undefined || !isSameValue(value, own.value)) return [{ ...result, state: 'overwritten' }];
    if (!hasTold) return [];
    const found = judgeDeclaration(param, own, evidence);
    return found === undefined ? [] : [{ ...result, ...found }];
  });
}

function fill({ name, value = '', type = '', description = '' }: TaskParam): HeldParam {
  return { name, value, type, description };
}

interface Evidence {
  /** Declared by the training, and not given. */
  readonly declared: readonly HeldParam[];
  /** It got beyond its front end, which refuses what it does not know. */
  readonly hasRun: boolean;
  readonly known: ReadonlySet<string>;
  /** The training has written params. */
  readonly isTouched: boolean;
  readonly isInstructed: boolean;
}

/** @returns undefined where nothing tells */
function judgeDeclaration(
  param: GivenParam,
  own: HeldParam,
  { declared, hasRun, known, isTouched, isInstructed }: Evidence,
): Pick<Arrival, 'state' | 'near'> | undefined {
  const { name, type } = param;
  const kept = { state: 'kept' } as const;
  const isUntyped = own.type === '' || own.type === type;
  if (own.description !== '' || (!isUntyped && own.type !== 'str')) return kept;
  const undeclared = (near = findNear(name, declared)) => ({ state: 'undeclared', near }) as const;
  // The SDK types all params at once, but for empty ones.
  if (own.type === '' && own.value !== '' && isTouched) return undeclared();
  if (known.has(name)) return kept;
  const section = sectionOf(name);
  if (section === 'Args' && declared.some((other) => other.name === HYDRA_MARK)) {
    return HYDRA_ARGUMENT.test(name) ? kept : undeclared(findNear(name, declared) ?? `Hydra/${nameOf(name)}`);
  }
  if (
    section === 'Args' &&
    FIRE_FLAGS.every((flag) => declared.some((other) => other.name === `Args/${flag}`))
  ) {
    if (isFrontEndType(type)) return hasRun ? kept : undefined;
    return { state: 'undeclared' };
  }
  const namesakes = declared.filter((other) => sectionOf(other.name) !== section && isNamesake(name, other));
  const isElsewhere = namesakes.some(({ value }) => isSameValue(param.value, value));
  const siblings = declared.filter((other) => sectionOf(other.name) === section);
  if (siblings.length > 0) {
    const typo = siblings.find((other) => isTypo(param, other));
    if (typo !== undefined) return undeclared(typo.name);
    if (namesakes.length === 0 || isElsewhere) return kept;
    // A library has its own value, whatever the training's command line takes.
    return namesakes.every((other) => LIBRARY_RECORDS.test(other.name)) ? undefined : undeclared();
  }
  // One value in two sections may have come from this one.
  if (isElsewhere || isInstructed) return undefined;
  return declared.length === 0 && !isUntyped ? kept : undeclared();
}

function isFrontEndType(type = ''): boolean {
  return FRONT_END_TYPE.test(type);
}

function isTyped({ type = '', description = '' }: TaskParam): boolean {
  return type !== '' || description !== '';
}

function sectionOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

function nameOf(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** The name as people misremember it: `--batch-size` is `batch_size` in the task. */
function simplify(name: string): string {
  return splitWords(name).join('');
}

function isNamesake(name: string, other: HeldParam): boolean {
  return simplify(name) === simplify(other.name);
}

/** Longer names are compared with none. */
const LONGEST_COMPARED = 100;

/** The declared name that is meant most likely; undefined if none is near. */
function findNear(name: string, declared: readonly HeldParam[]): string | undefined {
  const own = simplify(name);
  const measure = ({ name: other }: HeldParam) =>
    distance(own, simplify(other)) + (sectionOf(other) === sectionOf(name) ? 0 : 0.5);
  const [nearest] = declared
    .filter(({ name: other }) => !nameOf(other).startsWith('_') && areComparable(own, simplify(other)))
    .map((other) => ({ name: other.name, far: measure(other) }))
    .filter(({ name: other, far }) => Math.floor(far) <= Math.max(1, simplify(other).length / 3))
    .sort((a, b) => a.far - b.far);
  return nearest?.name;
}

/**
 * Whether a param is a misspelt name of one that the training declares in the same section, and not a sibling of it, like
 * `beta1` of `beta2`, `lr_g` of `lr_d`, `blr` of `lr`, `mode` of `model` or `name` of a list of `names`.
 */
function isTypo({ name, value }: GivenParam, other: HeldParam): boolean {
  const [own, meant] = [simplify(name), simplify(other.name)];
  if (nameOf(other.name).startsWith('_')) return false;
  if (own === meant) return true;
  if (own.replace(/\d+/g, '') === meant.replace(/\d+/g, '')) return false;
  if (!areComparable(own, meant)) return false;
  const isNumber = isNumeric(value);
  if (other.value !== '' && isNumber !== isNumeric(other.value)) return false;
  const shortest = Math.min(own.length, meant.length);
  const steps = distance(own, meant);
  if (isTransposed(own, meant)) return shortest >= 4;
  if (own.length !== meant.length) {
    if (steps !== 1 || haveOtherLetters(name, other.name)) return false;
    // Numbers are many, and named alike less often than texts.
    return shortest >= (isNumber ? 4 : 8) || (isNumber && shortest >= 2 && isStuttered(own, meant));
  }
  return shortest >= 8 && steps === 1 && isWithinLongWord(name, other.name);
}

/** Whether it is worth counting by how many letters they differ. */
function areComparable(a: string, b: string): boolean {
  const longest = Math.max(a.length, b.length);
  return longest <= LONGEST_COMPARED && Math.abs(a.length - b.length) <= Math.max(1, longest / 3);
}

function isNumeric(text: string): boolean {
  return text.trim() !== '' && Number.isFinite(Number(text.replaceAll('_', '')));
}

function isTransposed(a: string, b: string): boolean {
  const at = [...a].findIndex((letter, index) => letter !== b[index]);
  return a[at] === b[at + 1] && a[at + 1] === b[at] && a.slice(at + 2) === b.slice(at + 2);
}

/** Whether the names differ in a letter that stands alone, as `beta_d` and `beta`. */
function haveOtherLetters(a: string, b: string): boolean {
  const [one = [], other = []] = [a, b].map((name) => splitWords(name).filter(({ length }) => length === 1));
  return one.join() !== other.join();
}

/** Whether one has a letter twice that the other has once: `lrr` of `lr`. */
function isStuttered(a: string, b: string): boolean {
  const [long, short] = a.length > b.length ? [a, b] : [b, a];
  const at = [...long].findIndex((letter, index) => letter !== short[index]);
  return long[at] === long[at - 1];
}

function splitWords(name: string): string[] {
  return nameOf(name)
    .toLowerCase()
    .split(/[-_.\s]+/);
}

/** Whether only letters of long words differ: a whole short word that differs makes another param. */
function isWithinLongWord(a: string, b: string): boolean {
  const [one, other] = [a, b].map(splitWords);
  return (
    one?.length === other?.length &&
    (one ?? []).every((word, index) => word === other?.[index] || word.length >= 6)
  );
}
