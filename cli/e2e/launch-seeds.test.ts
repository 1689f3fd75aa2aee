import { describe, expect, test } from '@jest/globals';
import type { TaskDocument } from '../dev/clearml-driver.ts';
import { breakRequests, driver, launch, setSettings, setUpLaunches } from './launch-setup.ts';

setUpLaunches();

describe('seeds', () => {
  test('make one task each, grouped, and more of them later reuse those that are there', async () => {
    const two = await launch(['--seeds', '2', '--json']);
    const tasks = JSON.parse(two.stdout).tasks as TaskDocument[];
    expect(tasks.map((task) => task.seed)).toEqual([1, 2]);
    const documents = await Promise.all(tasks.map((task) => driver.getTask(task.id)));
    expect(documents.map((task) => task.hyperparams.Args.seed.value)).toEqual(['1', '2']);
    const groups = documents.map((task) => task.tags.filter((tag: string) => tag.startsWith('seeds:')));
    expect(groups[0]).toHaveLength(1);
    expect(groups[1]).toEqual(groups[0]);

    const three = await launch(['--seeds', '3', '--json']);
    const later = JSON.parse(three.stdout).tasks as TaskDocument[];
    expect(later.map((task) => task.reused)).toEqual([true, true, false]);
    expect(later.slice(0, 2).map((task) => task.id)).toEqual(tasks.map((task) => task.id));
  });

  test('are all there or none: where one cannot be created, the others go', async () => {
    const env = await breakRequests((endpoint, nth) =>
      endpoint === 'tasks.create' && nth >= 3 ? { kind: 'cut-before' } : undefined,
    );
    const run = await launch(['--seeds', '3'], { env });
    expect(run.exitCode).toBe(9);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('come from the settings file, under the param it names', async () => {
    await setSettings('seeds: [7, 9]\nseed-param: General/random_state');
    const run = await launch();
    const ids = run.stdout.trim().split('\n');
    const values = await Promise.all(
      ids.map(async (id) => (await driver.getTask(id)).hyperparams.General.random_state.value),
    );
    expect(values).toEqual(['7', '9']);
  });

  test.each([
    [['--seeds', '2', '--param', 'seed=5'], 'the seed is given twice'],
    [['--seeds', '0'], 'invalid --seeds "0": expected a number of seeds (1 to 100)'],
    [['--seeds', '1,1'], 'invalid --seeds "1,1": expected a number of seeds (1 to 100)'],
    [['--seeds', 'x'], 'invalid --seeds "x": expected a number of seeds (1 to 100)'],
    [['--param', 'lr'], 'invalid --param "lr": expected [Section/]name=value'],
    [['--param', '/x=1'], 'has no section or no name'],
    [['--project', 'ab'], 'is shorter than 3 characters'],
    [['--entry-point', '../x.py'], 'is not a path inside the repository'],
    [['--no-such-option'], "unknown option '--no-such-option'"],
    [['a', 'b', 'c', 'd'], 'too many arguments'],
    [['--config', 'none.yml'], 'the settings file none.yml does not exist'],
  ])('%j is exit 2: %s', async (args, message) => {
    const run = await launch(args);
    expect(run.exitCode).toBe(2);
    expect(run.stderr.split('\n')[0]).toContain(message);
    expect(run.stdout).toBe('');
  });

  test.each(['production', 'production-previous'])(
    'the tag %s, which promote moves, is exit 2',
    async (tag) => {
      await setSettings('promote: { tag: production }');
      const run = await launch(['--tag', tag]);
      expect(run.exitCode).toBe(2);
      expect(run.stderr).toContain(`promote moves the tag ${tag}`);
      expect(run.stderr).toContain('only one model of the pipeline carries it');
      await setSettings(`promote: { tag: production }\ntags: [${tag}]`);
      expect((await launch()).exitCode).toBe(2);
      expect(await driver.listTasks()).toEqual([]);
    },
  );

  test('all options that are malformed are named at once', async () => {
    const run = await launch(['--seeds', 'x', '--param', 'lr', '--project', 'ab', '--working-dir', '..']);
    expect(run.exitCode).toBe(2);
    for (const option of ['--seeds "x"', '--param "lr"', 'is shorter than 3 characters', '--working-dir'])
      expect(run.stderr.split('\n')[0]).toContain(option);
  });
});
