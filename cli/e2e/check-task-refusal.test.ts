import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { folder, sandbox, setUpChecks } from './check-task-setup.ts';

setUpChecks();

describe('what is refused before anything is waited for', () => {
  const unknown = '0'.repeat(32);
  test.each([
    ['no id', [], 2, 'an empty output means that the launch step failed'],
    ['an empty id', [''], 2, 'an empty output means that the launch step failed'],
    ['a malformed id', ['12345'], 10, '32 hexadecimal digits'],
    ['an unknown id', [unknown], 10, `there is no task ${unknown}`],
    [
      'a malformed duration',
      [unknown, '--timeout', '5 parsecs'],
      2,
      'invalid --timeout "5 parsecs": expected a positive duration',
    ],
    [
      'an unknown id though options are set to nothing, which count as left out',
      [unknown, '--timeout', '', '--project', '', '--config', ''],
      10,
      `there is no task ${unknown}`,
    ],
    ['a pause that is too short', [unknown, '--poll-interval', '1ms'], 2, '--poll-interval 1ms is too short'],
    ['an unknown option', [unknown, '--frobnicate'], 2, '--frobnicate'],
    ['an option without effect', [unknown, '--project', 'digits'], 2, '--project has no effect here'],
    ['an unknown choice', [unknown, '--on-timeout', 'panic'], 2, 'abort, leave'],
  ] as const)('%s', async (_name, args, exitCode, words) => {
    const run = await runProgramHere(main, { args, env: sandbox.env, cwd: folder });
    expect(run).toMatchObject({ exitCode, stdout: '' });
    expect(run.stderr).toMatch(/^error: /);
    expect(run.stderr).toContain(words);
  });

  test('several mistakes are said at once', async () => {
    await writeFile(join(folder, 'settings.yml'), 'queu: gpu\n');
    const args = [unknown, '--timeout', 'long', '--outage-timeout', '0s', '--config', 'settings.yml'];
    const run = await runProgramHere(main, { args, env: {}, cwd: folder });
    expect(run).toMatchObject({ exitCode: 2, stdout: '' });
    for (const text of [
      'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set',
      'invalid --timeout "long": expected a positive duration',
      'invalid --outage-timeout "0s": expected a positive duration',
      'line 1: queu',
    ])
      expect(run.stderr).toContain(text);
  });

  test('missing credentials, refused ones and a server that is not there', async () => {
    const env = { ...sandbox.env };
    const runWith = (changed: Record<string, string>) =>
      runProgramHere(main, {
        args: [unknown],
        env: { ...env, ...changed },
        cwd: folder,
        clock: createPatientClock(),
      });
    expect((await runWith({ CLEARML_API_SECRET_KEY: '' })).exitCode).toBe(2);
    expect((await runWith({ CLEARML_API_SECRET_KEY: 'wrong' })).exitCode).toBe(8);
    expect((await runWith({ CLEARML_API_HOST: 'http://127.0.0.1:9' })).exitCode).toBe(9);
  });
});
