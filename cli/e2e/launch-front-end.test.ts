import { describe, expect, test } from '@jest/globals';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import {
  clock,
  describePullRequest,
  driver,
  launch,
  launchTask,
  proxies,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

const param = (name: string, value: string, type: string, description = '') => [
  name,
  { section: 'Args', name, value, type, description },
];

/** What the SDK writes of a click program that is run by hand. */
const CLICK = Object.fromEntries([param('lr', '0.1', 'FLOAT'), param('seed', '', 'INT')]);
const ARGPARSE = Object.fromEntries([param('lr', '0.1', 'float', 'None'), param('seed', '0', 'int', 'None')]);

/** A task that has ended in the pipeline's project: of the pipeline with its `runtime`, by hand without. */
async function addEnded(args: object, by: { readonly runtime?: object; readonly name?: string } = {}) {
  await clock.sleep(1000);
  const { id, project, name } = await launchTask(['--no-reuse', '--no-supersede']);
  await driver.startTask(id);
  await driver.completeTask(id);
  const task = await driver.createTask({
    name: by.name ?? name,
    project,
    runtime: by.runtime ?? {},
    hyperparams: { Args: args },
  });
  await driver.startTask(task);
  await driver.completeTask(task);
  return task;
}

describe('a launch that leaves out params of which the defaults would be lost', () => {
  test('warns, with the front end, the params and what helps; nothing is copied', async () => {
    const shown = await addEnded(CLICK);
    const run = await launch(['--param', 'lr=0.5']);
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain(`the training seems to use click, as task ${shown} shows`);
    expect(run.stderr).toContain('this launch leaves out seed. On an agent, click gives None');
    expect(run.stderr).toContain('task.connect(options, name="Args")');
    const { hyperparams } = await driver.getTask(run.stdout.trim());
    expect(Object.keys(hyperparams.Args)).toEqual(['lr']);
    // It is created already, so nothing is to be spent.
    expect((await launch(['--param', 'lr=0.5'])).stderr).not.toContain('click');
    expect((await launch(['--param', 'lr=0.5', '--no-reuse', '--dry-run'])).stderr).toContain('click');
    expect((await launch(['--param', 'lr=0.5', '--param', 'seed=1'])).stderr).not.toContain('click');
  });

  test('warns with click where no param is given at all', async () => {
    await addEnded(CLICK);
    expect((await launch(['--no-reuse'])).stderr).toContain('this launch leaves out lr, seed.');
  });

  test('counts the param of the seeds', async () => {
    await addEnded(CLICK);
    const run = await launch(['--seeds', '2'], { env: await describePullRequest(7) });
    expect(run.stderr).toContain('this launch leaves out lr.');
  });

  test('the newest task that shows its front end decides', async () => {
    await addEnded(CLICK);
    await addEnded({});
    expect((await launch(['--param', 'lr=0.5'])).stderr).toContain('click');
    await addEnded(ARGPARSE);
    expect((await launch(['--param', 'lr=0.6'])).stderr).not.toContain('click');
  });

  test('tasks of another name, or of another pipeline, say nothing', async () => {
    await addEnded(CLICK, { name: 'train_model2' });
    await addEnded(CLICK, { runtime: { ci_pipeline: 'c'.repeat(32), ci_key: 'd'.repeat(32) } });
    expect((await launch(['--param', 'lr=0.5'])).stderr).not.toContain('click');
  });

  test('hostile names stay words', async () => {
    await addEnded(
      Object.fromEntries([param('a\u2028::error::b', '', 'INT'), param('x'.repeat(500), '', 'INT')]),
    );
    const env = await describePullRequest(7);
    const { stderr, stdout } = await launch(['--param', 'lr=0.5'], { env });
    expect(stderr).toContain('click');
    expect(`${stdout}\n${stderr}`.split('\n').filter((line) => /^\s*::error/.test(line))).toEqual([]);
    expect(stderr).not.toContain('x'.repeat(100));
  });

  test('is launched all the same where ClearML does not tell', async () => {
    await addEnded(CLICK);
    const proxy = await startFaultProxy(sandbox.apiHost, ({ path, body }) =>
      path.endsWith('tasks.get_all') && JSON.stringify(body).includes('-created')
        ? { kind: 'answer', status: 500, body: '' }
        : undefined,
    );
    proxies.push(proxy);
    const run = await launch(['--param', 'lr=0.5'], { env: { CLEARML_API_HOST: proxy.url } });
    expect(run).toMatchObject({ exitCode: 0 });
    expect(run.stderr).not.toContain('click');
  });

  test('a pull request without params asks nothing more', async () => {
    await addEnded(CLICK);
    const proxy = await startFaultProxy(sandbox.apiHost);
    proxies.push(proxy);
    const env = { ...(await describePullRequest(7)), CLEARML_API_HOST: proxy.url };
    expect((await launch(['--no-reuse'], { env })).stderr).not.toContain('click');
    expect(proxy.seen.length).toBeLessThanOrEqual(7);
  });
});
