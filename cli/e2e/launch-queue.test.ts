import { describe, expect, test } from '@jest/globals';
import { driver, launch, launchTask, setUpLaunches } from './launch-setup.ts';

setUpLaunches();

describe('the right queue', () => {
  test.each(['defualt', 'Default', 'def.ult', '.*', 'default('])(
    '%j is unknown: exit 10 with the nearest names',
    async (name) => {
      await driver.call('queues.create', { name: 'default-gpu' });
      const run = await launch(['--queue', name]);
      expect(run.exitCode).toBe(10);
      expect(run.stderr).toContain(`error: there is no queue "${name}"\nNearest existing queues: "default"`);
      expect(await driver.listTasks()).toEqual([]);
      expect((await driver.call('queues.get_all')).queues).toHaveLength(2);
    },
  );

  test('is found by its id too, and by a name full of signs', async () => {
    const name = 'gpu (a+b) [x]*';
    const { id } = await driver.call('queues.create', { name });
    const first = await launchTask(['--queue', name]);
    expect(first.execution.queue).toBe(id);
    const second = await launchTask(['--queue', id, '--param', 'a=1']);
    expect(second.execution.queue).toBe(id);
  });

  test('without a worker is a warning, with --require-worker exit 7 and nothing created', async () => {
    const warned = await launch();
    expect(warned.stderr).toContain('warning: no worker serves the queue "default"');
    const refused = await launch(['--require-worker', '--param', 'a=1']);
    expect(refused.exitCode).toBe(7);
    expect(refused.stderr).toContain('error: no worker serves the queue "default"');
    expect(await driver.listTasks()).toHaveLength(1);
  });

  test('without a worker is told with a command that starts one, whatever the queue is called', async () => {
    await driver.call('queues.create', { name: 'big GPUs' });
    const command = "(clearml-agent daemon --queue 'big GPUs')";
    expect((await launch(['--queue', 'big GPUs'])).stderr).toContain(command);
    const refused = await launch(['--queue', 'big GPUs', '--require-worker', '--param', 'a=1']);
    expect(refused.stderr).toContain(command);
  });

  test('with a worker tells the position in it', async () => {
    const queue = (await driver.call('queues.get_default')).id;
    await driver.call('workers.register', { worker: 'w:0', queues: [queue], timeout: 600 });
    await driver.call('workers.status_report', { worker: 'w:0', queues: [queue], timestamp: Date.now() });
    await launchTask();
    const run = await launch(['--require-worker', '--param', 'a=1']);
    expect(run.stderr).toContain('number 2 in queue "default" (1 worker)');
  });
});

describe('a reused task that waits in another queue', () => {
  const serve = async (name: string) => {
    const { queues } = await driver.call('queues.get_all', { name: `^${name}$` });
    const id = queues[0]?.id ?? (await driver.call('queues.create', { name })).id;
    await driver.call('workers.register', { worker: `w:${name}`, queues: [id], timeout: 600 });
    await driver.call('workers.status_report', { worker: `w:${name}`, queues: [id], timestamp: Date.now() });
  };

  test('is reported, and judged, by that queue', async () => {
    await serve('served');
    await launchTask();
    const unserved = await launch(['--queue', 'served', '--json', '--require-worker']);
    expect(unserved.exitCode).toBe(7);
    const warned = await launch(['--queue', 'served', '--json']);
    expect(JSON.parse(warned.stdout).tasks[0].queue).toEqual({ name: 'default', position: 1, workers: 0 });
    expect(warned.stderr).toContain('no worker serves the queue "default"');

    await launchTask(['--queue', 'served', '--param', 'a=1']);
    const served = await launch(['--param', 'a=1', '--require-worker', '--json']);
    expect(JSON.parse(served.stdout).tasks[0].queue).toEqual({ name: 'served', position: 1, workers: 1 });
  });

  test('for its Kubernetes pod misses no worker', async () => {
    await serve('default');
    const { id: task } = await launchTask();
    const { id: queue } = await driver.call('queues.create', { name: 'k8s_scheduler' });
    await driver.call('tasks.stop', { task, force: true, status_reason: 'moving to k8s pending queue' });
    await driver.call('tasks.enqueue', { task, queue, status_reason: 'k8s pending scheduler' });
    const run = await launch(['--require-worker']);
    expect(run).toMatchObject({ exitCode: 0, stdout: `${task}\n` });
    expect(run.stderr).toContain('number 1 in queue "k8s_scheduler" (waiting for a Kubernetes pod)');
    expect(run.stderr).not.toMatch(/no worker|clearml-agent daemon/);
  });
});
