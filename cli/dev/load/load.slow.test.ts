import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildBundles } from '../bundle.ts';
import { LOADS, type Load } from './loads.ts';
import { type LoadFigures, type MeasuredLoad, measureLoad } from './measurement.ts';
import { drawGrowthPicture } from './picture.ts';
import { describeFigures, formatLoadSection, listCurves } from './section.ts';

let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'load-test-'));
  await buildBundles(join(directory, 'dist'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function findLoad(unit: string, size: number): Load {
  const load = LOADS.find((one) => one.unit === unit);
  if (load === undefined) throw new Error(`there is no load of ${unit}`);
  return { ...load, sizes: [size] };
}

function measure(load: Load, bundles = join(directory, 'dist')): Promise<MeasuredLoad> {
  return measureLoad(load, { node: process.execPath, bundles, repeats: 1 });
}

describe('a light load', () => {
  test.each([
    ['tasks', 4, '`completed` 4 times; every line shown'],
    ['lines of the log', 1000, '`completed`; 1,000 lines shown'],
    ['megabytes a log', 1, '`completed` 12 times; 276,000 lines shown'],
    ['metrics', 10, '10 metrics shown, 0 said to be left out'],
    ['points of a curve', 10, 'a chart of 10 of them'],
    ['comments', 120, 'found and updated'],
    ['launches at once', 3, 'its id printed 3 times'],
  ])('of %s is put on, carried, and costs something', async (unit, size, outcome) => {
    const { figures } = await measure(findLoad(unit, size));
    expect(figures).toHaveLength(1);
    const [figure] = figures;
    expect(figure).toMatchObject({ size, outcome: expect.stringContaining(outcome) });
    expect(figure?.requests).toBeGreaterThan(1);
    expect(figure?.seconds).toBeGreaterThan(0.05);
    if (process.platform !== 'linux') return;
    expect(figure?.processorSeconds).toBeGreaterThan(0.03);
    expect(figure?.peakMib).toBeGreaterThan(30);
  });

  test.each([
    ['says too little', "console.log('completed')", '1 of 4 tasks are said to be completed'],
    ['gives up', "console.error('tired'); process.exitCode = 9", 'exit code 9: tired'],
  ])('under which a program %s is no measurement', async (_, code, cause) => {
    writeFileSync(join(directory, 'check-task-running.mjs'), code);
    await expect(measure(findLoad('tasks', 4), directory)).rejects.toMatchObject({
      message: 'check-task-running failed under 4 tasks',
      cause: { message: expect.stringContaining(cause) },
    });
  });
});

describe('what is shown', () => {
  const figures = (size: number, processorSeconds: number): LoadFigures => ({
    size,
    bytes: 16e6,
    seconds: processorSeconds * 2,
    processorSeconds,
    peakMib: 100,
    requests: 2005,
    outcome: 'all is well',
  });
  const describeLoad = (size: string, bytes: string) => `${size} things (${bytes})`;
  const loads: MeasuredLoad[] = [
    {
      load: { title: 'A wait', unit: 'tasks', describe: describeLoad },
      figures: [figures(100, 0.5), figures(1000, 2)],
    },
    { load: { title: 'A launch', unit: 'launches', describe: describeLoad }, figures: [figures(20, 4)] },
  ];

  test('each load at its largest is a row, and growth is told where there is a curve', () => {
    const section = formatLoadSection({ loads, repeats: 3, conditions: 'a machine' });
    expect(section).toContain('| 1,000 things (16 MB) | 4 | 2 | 100 MiB | 2,005 | all is well |');
    expect(section).toContain('| 20 things (16 MB) | 8 | 4 |');
    expect(section).toContain(
      'How it grows:\n\n- 10 times as many tasks, 1,000 of them, take 4 times the work and 1 times the memory\n',
    );
  });

  test('beside other programs each figure is told as a share of theirs', () => {
    const before = { ...figures(1000, 4), peakMib: 400, requests: 4010 };
    expect(describeFigures('tasks', { ...figures(1000, 1), before })).toBe(
      '1000 tasks: 2.00 s, processor 1.00 s, 100 MiB, 2005 requests; against 8.00 s, processor 4.00 s, 400 MiB, 4010 requests: 0.25, 0.25, 0.25, 0.50 of it',
    );
  });

  test('the picture holds every point of every curve, inside its frame', () => {
    const picture = drawGrowthPicture(listCurves(loads));
    expect(picture).toContain('<title>100 tasks: 0.5</title>');
    expect(picture).toContain('<title>1k tasks: 2</title>');
    expect(picture).not.toContain('launches');
    expect(picture).not.toMatch(/NaN|Infinity|undefined|"-\d/);
  });
});
