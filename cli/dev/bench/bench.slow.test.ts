import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildBundles } from '../bundle.ts';
import { measureEmpty, runChain, type StepFigures, trainBase } from './chain.ts';
import { type Checkout, createCheckout, FAR_MS } from './checkout.ts';
import { measureDetached } from './held.ts';
import { drawChainPicture } from './picture.ts';
import { type Figures, formatSection, type Results } from './section.ts';
import { createSides, packRelease, type Side, STEPS } from './sides.ts';

describe('a round of the release', () => {
  let directory: string;
  let checkout: Checkout;
  let release: Side;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bench-test-'));
    checkout = await createCheckout(directory);
    await buildBundles(join(directory, 'dist'));
    await packRelease(directory, join(directory, 'dist'));
    [, , release] = createSides(directory, checkout.directory, process.execPath, 'python3');
    await release.prepare();
    await release.install();
    await trainBase(release, checkout);
  });

  afterAll(async () => {
    await checkout.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('counts what passes, compares with the base branch, and takes longer where the servers are far', async () => {
    expect(release.measureSize()).toBeGreaterThan(1e6);
    const near = await runChain(release, checkout, checkout.near);
    const far = await runChain(release, checkout, checkout.far);
    const metrics = JSON.parse(near.metrics ?? '');
    expect(metrics).toContainEqual(
      expect.objectContaining({ metric: 'test_accuracy/accuracy', value: 0.9, baseline: 0.8 }),
    );
    expect(near.steps).toMatchObject({
      launch: { requests: 7 },
      check: { requests: 2, connections: 1 },
    });
    for (const step of STEPS) {
      const { startSeconds, seconds, peakMib } = near.steps[step];
      expect(startSeconds).toBeGreaterThan(0.02);
      expect(seconds).toBeGreaterThan(startSeconds);
      expect(process.platform === 'linux' ? peakMib : 50).toBeGreaterThan(30);
    }
    // Its two requests set out one after the other.
    expect(far.steps.check.seconds).toBeGreaterThan((2 * FAR_MS) / 1000);
    // One comes before the other here too, and before them a handshake of TCP and one of TLS.
    const farTls = await runChain(release, checkout, checkout.farTls);
    // No more than were opened at the start: a later one would cost two round trips more.
    expect(farTls.steps).toMatchObject({
      launch: { requests: 7, connections: 4 },
      check: { requests: 2, connections: 1 },
      comment: { connections: 6 },
    });
    expect(farTls.steps.check.startSeconds).toBeGreaterThan((2.5 * FAR_MS) / 1000);
    expect(farTls.steps.check.seconds).toBeGreaterThan((4 * FAR_MS) / 1000);
  });

  test('asks for compressed answers and for chosen fields only, over fewer connections than requests', async () => {
    const { toClearml, toGithub } = checkout.near;
    const [clearmlBefore, githubBefore] = [toClearml.seen.length, toGithub.seen.length];
    const { steps } = await runChain(release, checkout, checkout.near);
    const clearml = toClearml.seen.slice(clearmlBefore);
    const github = toGithub.seen.slice(githubBefore);
    for (const { headers } of [...clearml, ...github]) {
      expect(headers['accept-encoding']).toContain('gzip');
      expect(headers.connection).toBe('keep-alive');
    }
    // `queues.get_all_ex` chooses its fields itself.
    const lists = clearml.filter(({ path }) => /\.get_all$/.test(path));
    expect(lists.length).toBeGreaterThan(4);
    for (const { path, body } of lists) {
      expect({ path, ...JSON.parse(body) }).toEqual(
        expect.objectContaining({ path, only_fields: expect.arrayContaining([expect.any(String)]) }),
      );
    }
    for (const step of STEPS) expect(steps[step].connections).toBeLessThan(steps[step].requests);
  });

  test('holds a runner for seconds where the training is detached, its last tick included', async () => {
    const held = await measureDetached(release, checkout, async () => 1);
    expect(held.seconds).toBeLessThan(60);
    expect(held.requests).toBeLessThan(40);
  });

  test('knows what the interpreter alone costs', async () => {
    const empty = { ...release, empty: { file: process.execPath, args: ['-e', ''] } };
    expect(await measureEmpty(empty, checkout)).toBeGreaterThan(0.01);
  });
});

describe('what is shown', () => {
  const step = (seconds: number): StepFigures => ({
    seconds,
    startSeconds: seconds / 2,
    requests: 4,
    ofClearml: 3,
    connections: 2,
    kilobytes: 10,
    peakMib: 80,
    processorSeconds: seconds,
  });
  const figures = (seconds: number): Figures => {
    const steps = { launch: [step(seconds)], check: [step(seconds)], comment: [step(seconds)] };
    return {
      install: [seconds],
      bytes: seconds * 1e6,
      near: steps,
      far: steps,
      farTls: { ...steps, check: [step(seconds * 2)] },
      lateness: [seconds],
    };
  };
  const results: Results = {
    sides: [
      [{ name: 'original', title: 'the original' }, figures(10)],
      [{ name: 'release', title: 'as `actions`' }, figures(0.1)],
    ],
    starts: [
      { title: 'source', rounds: [{ empty: 0.05, steps: { launch: 0.1, check: 0.1, comment: 0.11 } }] },
    ],
    cold: [
      {
        title: 'this checkout',
        rounds: [
          {
            empty: 0.1,
            first: { launch: 0.2, check: 0.25, comment: 0.3 },
            whole: 0.9,
            processor: { empty: 0.1, whole: 1.1 },
          },
        ],
      },
    ],
    rounds: 1,
    farMs: 50,
    runSeconds: [33],
    held: [
      ['the original', { seconds: 3660, requests: 130 }],
      ['detached', { seconds: 6.1, requests: 13 }],
    ],
    conditions: 'a machine',
  };

  test('the whole chain is the installation and the three steps, beside the original’s', () => {
    const section = formatSection(results);
    expect(section).toContain('| **all that is added to a training** | **40 s** | **0.4 s, 1/100** |');
    expect(section).toContain('| **the same, TLS servers 50 ms away** | **50 s** | **0.5 s, 1/100** |');
    expect(section).toContain('| source | 50 | 100, 2.00× | 100, 2.00× | 110, 2.20× |');
  });

  test('what holds a runner is told beside the original, in seconds and requests', () => {
    const section = formatSection(results);
    expect(section).toContain('| runner seconds held | 3660 s | 6.1 s, 1/600 |');
    expect(section).toContain('| requests to ClearML | 130 | 13, 1/10 |');
  });

  test('a cold start is told beside the empty file, each to its first request and all to their ends', () => {
    const section = formatSection(results);
    expect(section).toContain(
      '| this checkout | 100 | 200, 2.00× | 250, 2.50× | 300, 3.00× | 900, 9.00× | 1100, 11.00× |',
    );
  });

  test('the picture holds every number, inside its frame', () => {
    const picture = drawChainPicture(results.sides);
    expect(picture).toContain('40 s');
    expect(picture).toContain('0.4 s (1/100)');
    expect(picture).not.toMatch(/NaN|Infinity|undefined|"-\d/);
  });
});
