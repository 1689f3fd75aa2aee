import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import {
  asked,
  chain,
  check,
  createQueuedTask,
  createRunningTask,
  createTask,
  driver,
  folder,
  inActions,
  launchedBy,
  plan,
  projectId,
  queueId,
  readOutputs,
  sandbox,
  setUpChecks,
  statusOf,
} from './check-task-setup.ts';

setUpChecks();

/** Watches a task that is in a passing state, which no request of a test can put it into, for two looks. */
async function watchPassing(status: 'publishing' | 'unknown') {
  const id = await createRunningTask();
  await driver.completeTask(id);
  await driver.call('tasks.publish', { task: id });
  const task = await driver.getTask(id);
  let looks = 0;
  const proxy = await startFaultProxy(sandbox.apiHost, ({ path }) => {
    if (!path.endsWith('tasks.get_all')) return undefined;
    looks += 1;
    const meta = { result_code: 200, result_subcode: 0, result_msg: 'OK' };
    const body = JSON.stringify({ meta, data: { tasks: [{ ...task, status }] } });
    return looks <= 2 ? { kind: 'answer', status: 200, body } : undefined;
  });
  const run = await check([id, '--poll-interval', '200ms'], { env: { CLEARML_API_HOST: proxy.url } });
  await proxy.close();
  return { ...run, looks };
}

describe('a wait', () => {
  const waits = {
    'through all phases': plan(async () => {
      const id = await createTask();
      const run = await check([id, '--poll-interval', '200ms', '--json'], {
        onStderr: chain([
          [/a draft in no queue/, () => driver.call('tasks.enqueue', { task: id, queue: queueId })],
          [
            /no worker serves the queue "default"/,
            async () => {
              await driver.startTask(id);
              await driver.logLines(id, ['epoch 1\n']);
            },
          ],
          [/epoch 1/, () => driver.completeTask(id)],
        ]),
      });
      return { ...run, ids: [id] };
    }),
    'of several tasks': plan(async () => {
      const good = await createRunningTask();
      const bad = await createRunningTask();
      const outputs = join(folder, 'outputs-several');
      await writeFile(outputs, '');
      const run = await check([`${good} ${bad}`, good, '--poll-interval', '200ms', '--no-logs'], {
        env: { GITHUB_OUTPUT: outputs },
        onStderr: chain([
          [/2 running/, () => driver.failTask(bad)],
          [/error: /, () => driver.completeTask(good)],
        ]),
      });
      return { ...run, ids: [good, bad], outputs };
    }),
    'for a task that is taken out of the queue': plan(async () => {
      const id = await createQueuedTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/queued/, () => driver.call('tasks.dequeue', { task: id })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is reset': plan(async () => {
      const id = await createRunningTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/running/, () => driver.call('tasks.reset', { task: id, force: true })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is deleted': plan(async () => {
      const id = await createRunningTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/running/, () => driver.call('tasks.delete', { task: id, force: true })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is archived while it waits': plan(async () => {
      const id = await createQueuedTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/queued/, () => driver.call('tasks.archive', { tasks: [id] })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is archived while it runs': plan(async () => {
      const id = await createRunningTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/running/, () => driver.call('tasks.archive', { tasks: [id] })]]),
      });
      return { ...run, ids: [id] };
    }),
    'until the time-out, of a task of ours': plan(async () => {
      const id = await createRunningTask(launchedBy('1000'));
      const run = await check([id, '--timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    'until the time-out, of a task that another run launched': plan(async () => {
      const id = await createRunningTask(launchedBy('999'));
      const run = await check([id, '--timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    'until the time-out, leaving the task': plan(async () => {
      const id = await createRunningTask(launchedBy('1000'));
      const run = await check([id, '--timeout', '1s', '--on-timeout', 'leave'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    publishing: plan(() => watchPassing('publishing')),
    unknown: plan(() => watchPassing('unknown')),
    'until the queue time-out': plan(async () => {
      const id = await createQueuedTask(launchedBy('1000'));
      const run = await check([id, '--queue-timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
  };

  test('goes on while a task is a draft, queued and running, and gives one JSON document', async () => {
    const run = await waits['through all phases']();
    expect(run.exitCode).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({
      tasks: [
        {
          id: run.ids[0],
          url: `${sandbox.webHost}/projects/${projectId}/tasks/${run.ids[0]}/output/log`,
          status: 'completed',
          statusReason: expect.any(String),
          durationSeconds: expect.any(Number),
          cause: null,
        },
      ],
    });
    expect(run.stderr).toContain('epoch 1');
  });

  test('for several tasks ends with the worst of them, each once and in the order given', async () => {
    const run = await waits['of several tasks']();
    expect(run).toMatchObject({ exitCode: 3, stdout: 'completed\nfailed\n' });
    expect(await readOutputs(run.outputs)).toMatchObject({
      status: 'mixed',
      cause: expect.stringMatching(/^training: /),
    });
    const looks = asked.filter(
      ({ endpoint, body }) => endpoint === 'tasks.get_all' && body.includes(run.ids[1] ?? ''),
    );
    // While both were unfinished, one request asked for both.
    expect(looks.filter(({ body }) => body.includes(run.ids[0] ?? '')).length).toBeGreaterThan(0);
  });

  test.each([
    ['for a task that is taken out of the queue', 'created', 'taken out of the queue'],
    ['for a task that is reset', 'created', 'reset by somebody'],
    ['for a task that is deleted', 'unknown', 'deleted by somebody'],
    ['for a task that is archived while it waits', 'created', 'archived by somebody'],
    ['for a task that is archived while it runs', 'stopped', 'archived by somebody'],
  ] as const)('%s ends with 4', async (name, status, words) => {
    const run = await waits[name]();
    expect(run).toMatchObject({ exitCode: 4, stdout: `${status}\n` });
    expect(run.stderr).toContain(words);
  });

  test('past the time-out ends the task and exits with 124', async () => {
    const run = await waits['until the time-out, of a task of ours']();
    expect(run).toMatchObject({ exitCode: 124, stdout: 'stopped\n' });
    expect(await statusOf(run.ids[0] ?? '')).toBe('stopped');
  });

  test.each([
    ['until the time-out, of a task that another run launched', 'workflow run 999 launched it'],
    ['until the time-out, leaving the task', '--on-timeout leave'],
  ] as const)('%s leaves it running and says so', async (name, words) => {
    const run = await waits[name]();
    expect(run).toMatchObject({ exitCode: 124, stdout: 'in_progress\n' });
    expect(run.stderr).toContain(words);
    expect(await statusOf(run.ids[0] ?? '')).toBe('in_progress');
  });

  test('past the queue time-out takes the task out of the queue and exits with 7', async () => {
    const run = await waits['until the queue time-out']();
    expect(run).toMatchObject({ exitCode: 7, stdout: 'created\n' });
    expect(await statusOf(run.ids[0] ?? '')).toBe('created');
    expect(run.stderr).toContain('no worker serves the queue "default"');
    expect(run.stderr).toContain(
      'Check that an agent serves the queue: clearml-agent daemon --queue default.',
    );
  });

  test('tells what has changed at most every 30 s, with the metrics that the settings name', async () => {
    const settings = join(folder, 'settings.yml');
    await writeFile(settings, 'metrics:\n  - metric: loss/*\n');
    const id = await createRunningTask();
    const clock = createPatientClock();
    const times: number[] = [];
    // Something new for every look, for a minute and a half.
    const train = async () => {
      for (let reported = 1; reported < 45; reported += 1) {
        await clock.sleep(2000);
        await driver.reportScalars(id, 'loss', 'train', Array(reported).fill(0.5));
      }
      await driver.completeTask(id);
    };
    const run = await runProgramHere(main, {
      args: [id, '--config', settings, '--poll-interval', '2s'],
      env: sandbox.env,
      cwd: folder,
      clock,
      onStart: () => void train(),
      onStderr: (text) => {
        if (text.startsWith('running')) times.push(clock.now());
      },
    });
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toMatch(/^running for .*, iteration \d+, loss\/train 0\.5$/m);
    expect(times.length).toBeGreaterThan(2);
    const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
    expect(Math.min(...pauses)).toBeGreaterThan(29_000);
  });

  test('takes options that are set to nothing as not given', async () => {
    const id = await createRunningTask();
    await driver.completeTask(id);
    const args = [
      '--log',
      '',
      '--on-timeout',
      ' ',
      '--on-interrupt=',
      '--timeout',
      '',
      '--on-change',
      ' ',
      id,
    ];
    const run = await runProgramHere(main, { args, env: sandbox.env, cwd: folder });
    expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
  });

  test('for a task that stays a draft ends after a minute with 7', async () => {
    const id = await createTask();
    const clock = createPatientClock();
    const run = await runProgramHere(main, { args: [id], env: sandbox.env, cwd: folder, clock });
    expect(run).toMatchObject({ exitCode: 7, stdout: 'created\n' });
    expect(run.stderr).toContain('it is a draft in no queue');
  });

  test.each(['publishing', 'unknown'] as const)('goes on while a task is %s', async (status) => {
    const run = await waits[status]();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'published\n' });
    expect(run.looks).toBe(3);
  });
});
