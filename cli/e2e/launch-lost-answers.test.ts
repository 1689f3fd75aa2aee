import { describe, expect, test } from '@jest/globals';
import type { Fault } from '../dev/fault-proxy.ts';
import { breakRequests, clock, driver, launch, setUpLaunches } from './launch-setup.ts';

setUpLaunches();

describe('when an answer gets lost', () => {
  const cutAfter: Fault = { kind: 'cut-after' };
  const cutBefore: Fault = { kind: 'cut-before' };

  describe.each([
    'tasks.create',
    'tasks.enqueue',
    'projects.create',
    'tasks.get_all',
    'queues.get_all_ex',
    'projects.get_all',
  ])('to %s', (endpoint) => {
    test.each<[string, Fault, number]>([
      ['once, applied', cutAfter, 1],
      ['once, not applied', cutBefore, 1],
      ['three times in a row, applied', cutAfter, 3],
      ['three times in a row, not applied', cutBefore, 3],
    ])('%s: exactly one task is queued at the end', async (_, fault, times) => {
      const env = await breakRequests((name, nth) => (name === endpoint && nth <= times ? fault : undefined));
      const run = await launch([], { env });
      expect(run).toMatchObject({ exitCode: 0 });
      const tasks = await driver.listTasks();
      expect(tasks.map((task) => [task.id, task.status])).toEqual([[run.stdout.trim(), 'queued']]);
    });
  });

  test('a create that lands late is found and removed', async () => {
    // The first create reaches the server only when the second one has been answered and queued.
    let lateBody = '';
    const env = await breakRequests((endpoint, nth, request) => {
      if (endpoint === 'tasks.create' && nth === 1) {
        lateBody = request.body;
        return cutBefore;
      }
      if (endpoint === 'tasks.enqueue') void driver.call('tasks.create', JSON.parse(lateBody));
      return undefined;
    });
    const run = await launch([], { env });
    expect(run.exitCode).toBe(0);
    const tasks = await driver.listTasks();
    expect(tasks.map((task) => [task.id, task.status])).toEqual([[run.stdout.trim(), 'queued']]);
  });

  test('an enqueue that is overtaken until the time is up is told as that', async () => {
    let enqueues = 0;
    const env = await breakRequests((endpoint) => {
      if (endpoint !== 'tasks.enqueue') return undefined;
      enqueues += 1;
      return {
        kind: 'answer',
        status: 400,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          meta: { result_code: 400, result_subcode: 706, result_msg: 'task is already queued' },
          data: {},
        }),
      };
    });
    const run = await launch([], { env });
    expect(run).toMatchObject({ exitCode: 9, stdout: '' });
    expect(run.stderr).toMatch(/^error: other launches were queuing task [0-9a-f]{32} at the same time/m);
    expect(run.stderr).not.toContain('Please report');
    // Not as fast as it can.
    expect(enqueues).toBeLessThan(200);
  });

  test('a task that was created but could not be queued is removed', async () => {
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.enqueue'
        ? {
            kind: 'answer',
            status: 400,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({
              meta: { result_code: 400, result_subcode: 12, result_msg: 'no' },
              data: {},
            }),
          }
        : undefined,
    );
    const run = await launch([], { env });
    expect(run.exitCode).toBe(9);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('what is asked again is told, with the try of how many', async () => {
    const page = { kind: 'answer', status: 502, body: '<html>' } as const;
    const env = await breakRequests((endpoint, nth) =>
      endpoint === 'projects.get_all' && nth <= 2 ? page : undefined,
    );
    const { exitCode, stderr } = await launch([], { env });
    expect(exitCode).toBe(0);
    const tries = [
      ...stderr.matchAll(
        /^ClearML projects\.get_all: HTTP 502; trying again in \w+ \(try (\d) of (\d+)\)$/gm,
      ),
    ];
    expect(tries.map(([, attempt]) => attempt)).toEqual(['2', '3']);
    expect(new Set(tries.map(([, , attempts]) => attempts)).size).toBe(1);
  });

  test('a rate limit that ClearML names is waited for once', async () => {
    const env = await breakRequests((endpoint, nth) =>
      endpoint === 'tasks.create' && nth === 1
        ? { kind: 'answer', status: 429, headers: { 'retry-after': '80' }, body: '' }
        : undefined,
    );
    const beganAtMs = clock.now();
    const run = await launch([], { env });
    expect(run.exitCode).toBe(0);
    expect(clock.now() - beganAtMs).toBeGreaterThanOrEqual(80_000);
    expect(await driver.listTasks()).toHaveLength(1);
  });

  test('for good, the program gives up within a minute with exit 9 and leaves nothing', async () => {
    const env = await breakRequests((endpoint) => (endpoint === 'tasks.enqueue' ? cutBefore : undefined));
    const beganAtMs = clock.now();
    const run = await launch([], { env });
    expect(run.exitCode).toBe(9);
    expect(clock.now() - beganAtMs).toBeLessThan(60_000);
    expect(await driver.listTasks()).toEqual([]);
    expect(run.stdout).toBe('');
  });
});
