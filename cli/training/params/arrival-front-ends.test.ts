import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { judgeArrival, type TaskParam } from './arrival.ts';
import { formatGivenParams, type GivenParam } from './given.ts';
import { isSameValue } from './value.ts';

// What the real SDK and the real front ends left in a task, and what the training then says that it was given.

interface Recording {
  readonly case: string;
  readonly sent: readonly GivenParam[];
  readonly exitCode: number;
  readonly trainedWith?: Readonly<Record<string, unknown>>;
  readonly hyperparams: Readonly<Record<string, Readonly<Record<string, Omit<TaskParam, 'name'>>>>>;
}

const FOLDER = new URL('../fixtures/frontends/', import.meta.url);

const recordings = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json'))
  .flatMap((file) => {
    const { recordings: all } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
    return (all as Recording[]).map(
      (recording) => [`${file.replace('.json', '')}, ${recording.case}`, recording] as const,
    );
  })
  .filter(([, { sent }]) => sent.length > 0);

/** The front end knows the name, and passes over the value without a word. */
const REFUSED_VALUES: ReadonlyArray<readonly [recording: RegExp, param: RegExp]> = [
  // BooleanOptionalAction takes no false, store_false and `type=bool` no other word.
  [/^argparse-plain, flags as /, /^Args\/(?:either|bool|augment|flag)$/],
  // argparse's nargs takes lists in brackets only.
  [/^argparse-plain, lists with /, /^Args\/(?:layers|names)$/],
  // absl takes the letters of a list one by one, `connect` keeps its default where a number is none.
  [/^absl-flags, defines, list$/, /^TF_DEFINE\/layers$/],
  [/^connect, not a number$/, /^General\/lr$/],
];

function judge({ sent, exitCode, hyperparams }: Recording) {
  const isSuccess = exitCode === 0;
  const held = Object.entries(hyperparams).flatMap(([section, entries]) =>
    Object.entries(entries).map(([name, entry]) => ({ ...entry, name: `${section}/${name}` })),
  );
  const runtime = { ci_given: formatGivenParams(sent) };
  const arrivals = judgeArrival({
    status: isSuccess ? 'completed' : 'failed',
    iteration: isSuccess ? 1 : 0,
    runtime,
    held,
  });
  return { held, arrivals };
}

/** Whether the training was given this value; undefined where it does not say. */
function hasArrived({ name, value }: GivenParam, { trainedWith }: Recording): boolean | undefined {
  // The overrides of Hydra and the switches of the SDK are no values of the training's.
  if (trainedWith === undefined || name === 'Args/overrides' || name.includes('/_')) return undefined;
  const path = name.slice(name.indexOf('/') + 1);
  let found: unknown = trainedWith[path] ?? trainedWith;
  if (found === trainedWith)
    for (const part of path.split(/[./]/)) found = (found as Record<string, unknown> | undefined)?.[part];
  // The command of a group has options of its own.
  if (found === undefined) found = trainedWith[path.split('/').at(-1) ?? ''];
  if (found === undefined) return path === trainedWith.command;
  return isSameValue(value, typeof found === 'string' ? found : found === null ? '' : JSON.stringify(found));
}

test('there are recordings of many front ends', () => {
  expect(recordings.length).toBeGreaterThan(50);
});

describe.each(recordings)('%s:', (title, recording) => {
  const { held, arrivals } = judge(recording);
  const stateOf = (name: string) => arrivals.find((arrival) => arrival.name === name)?.state;

  test('what arrived is not overwritten, and undeclared only where the front end left no trace', () => {
    const given = new Map(recording.sent.map(({ name, type }) => [name, type]));
    const isSilent = held.every(
      ({ name, type, description }) =>
        given.has(name) && (type ?? given.get(name)) === given.get(name) && !description,
    );
    const arrived = recording.sent.filter((param) => hasArrived(param, recording) === true);
    for (const { name } of arrived)
      expect([name, stateOf(name)]).toEqual([
        name,
        isSilent
          ? expect.not.stringMatching('overwritten')
          : expect.not.stringMatching('overwritten|undeclared'),
      ]);
  });

  test('what did not arrive is not kept', () => {
    const lost = recording.sent.filter((param) => hasArrived(param, recording) === false);
    for (const { name } of lost) {
      const isRefused = REFUSED_VALUES.some(([of, param]) => of.test(title) && param.test(name));
      if (!isRefused) expect([name, stateOf(name)]).not.toEqual([name, 'kept']);
    }
  });
});
