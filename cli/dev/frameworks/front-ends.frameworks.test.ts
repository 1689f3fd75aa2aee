import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { runCommand } from '../command-run.ts';
import { preparePythonEnvironment } from '../python-environment.ts';
import { readFixture, WRITES_RECORDINGS, writeFixture } from './fixture-file.ts';
import { FRONT_ENDS } from './front-ends.ts';
import { recordTraining, type SentParam } from './recorder.ts';

const FOLDER = new URL('front-ends/', import.meta.url);

/** Once for all cases, which run at the same time: the SDK waits most of its time. */
const environment = prepare();

async function prepare() {
  const requirementsFile = fileURLToPath(new URL('requirements-front-ends.txt', import.meta.url));
  const { python } = await preparePythonEnvironment({ requirementsFile, tools: [] });
  const freeze = await runCommand(python, ['-m', 'pip', 'freeze']);
  const versions = (freeze?.output ?? '').matchAll(/^([\w.-]+)==(\S+)$/gm);
  return { python, versions: Object.fromEntries([...versions].map(([, name, version]) => [name, version])) };
}

describe.each(Object.entries(FRONT_ENDS))('%s:', (frontEnd, cases) => {
  const recorded = new Map<string, object>();
  const known = readFixture(`frontends/${frontEnd}`) as { recordings: Array<{ case: string }> } | undefined;

  test.concurrent.each(Object.entries(cases))('%s', async (name, params) => {
    const recording = await record(frontEnd, name, params);
    recorded.set(name, recording);
    if (!WRITES_RECORDINGS) expect(recording).toEqual(known?.recordings.find((one) => one.case === name));
  });

  afterAll(async () => {
    const recordings = Object.keys(cases).map((name) => recorded.get(name));
    if (!WRITES_RECORDINGS || recordings.includes(undefined)) return;
    writeFixture(`frontends/${frontEnd}`, { frontEnd, versions: await pickVersions(frontEnd), recordings });
  });
});

async function record(frontEnd: string, name: string, params: readonly SentParam[]) {
  const { python } = await environment;
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
async function pickVersions(frontEnd: string): Promise<Record<string, string>> {
  const { versions } = await environment;
  const names = Object.keys(versions).filter(
    (name) => name === 'clearml' || frontEnd.startsWith(name.replace(/-(?:core|py)$/, '')),
  );
  return Object.fromEntries(names.map((name) => [name, versions[name] ?? '']));
}
