import { expect, test } from '@jest/globals';
import { runInParallel } from '../../clearml/tasks.ts';
import { type EnvironmentName, prepareEnvironment } from './environments.ts';
import { readFixture, WRITES_RECORDINGS, writeFixture } from './fixture-file.ts';
import { type Cases, FRONT_ENDS, TORCH_FRONT_ENDS, VISION_FRONT_ENDS } from './front-ends.ts';
import { recordTraining, type SentParam } from './recorder.ts';

const FOLDER = new URL('front-ends/', import.meta.url);

const ALL: ReadonlyArray<readonly [frontEnd: string, environment: EnvironmentName, cases: Cases]> = [
  ...Object.entries(FRONT_ENDS).map(([name, cases]) => [name, 'front-ends', cases] as const),
  ...Object.entries(TORCH_FRONT_ENDS).map(([name, cases]) => [name, 'torch', cases] as const),
  ...Object.entries(VISION_FRONT_ENDS).map(([name, cases]) => [name, 'vision', cases] as const),
];

test.concurrent.each(ALL)('%s', async (frontEnd, environment, cases) => {
  const { python, versions } = await prepareEnvironment(environment);
  const found = new Map<string, object>();
  await runInParallel(Object.entries(cases), async ([name, params]) => {
    found.set(name, await record(python, frontEnd, name, params));
  });
  const recordings = Object.keys(cases).map((name) => found.get(name));
  const fixture = { frontEnd, versions: pickVersions(versions, frontEnd), recordings };
  if (WRITES_RECORDINGS) writeFixture(`frontends/${frontEnd}`, fixture);
  else expect(dropTimes(fixture)).toEqual(dropTimes(readFixture(`frontends/${frontEnd}`) as Fixture));
});

interface Fixture {
  readonly recordings: ReadonlyArray<{ readonly exitCode?: number } | undefined>;
}

/** Without the console of what succeeded: it tells how long things took, and how fast. */
function dropTimes(fixture: Fixture): Fixture {
  const recordings = fixture.recordings.map((recording) =>
    recording?.exitCode === 0 ? { ...recording, console: [] } : recording,
  );
  return { ...fixture, recordings };
}

async function record(python: string, frontEnd: string, name: string, params: readonly SentParam[]) {
  const { task: _task, ...record } = await recordTraining({
    python,
    folder: FOLDER,
    command: [`${frontEnd}.py`],
    params,
  });
  const sent = params.map(([param, value, type]) => ({
    name: param,
    value,
    ...(type === undefined ? {} : { type }),
  }));
  // As the fixture has it: without what is undefined.
  return JSON.parse(JSON.stringify({ frontEnd, case: name, sent, ...record }));
}

/** Of the SDK, and of the packages that the front end is named after. */
function pickVersions(versions: Readonly<Record<string, string>>, frontEnd: string): Record<string, string> {
  const used = Object.entries(versions).filter(
    ([name]) => name === 'clearml' || frontEnd.startsWith(name.replace(/-(?:core|py)$/, '')),
  );
  return Object.fromEntries(used);
}
