import { describe, expect, test } from '@jest/globals';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { countRoundTrips } from '../dev/round-trips.ts';
import {
  clock,
  describePullRequest,
  launch,
  launchTask,
  proxies,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('frugal', () => {
  test('a plain launch takes at most 7 requests in at most 5 round trips, a reuse one round trip', async () => {
    const minute = 60_000;
    await launchTask(['--param', 'first=1'], await describePullRequest(6));
    for (const expected of [
      { afterMs: 0, requests: 7, roundTrips: 5 },
      // The task's creator may still fail: it is told that its task is used.
      { afterMs: 0, requests: 6, roundTrips: 3 },
      { afterMs: 10 * minute, requests: 4, roundTrips: 1 },
    ]) {
      await clock.sleep(expected.afterMs);
      // Its time stands still while anything but waiting goes on: however busy the machine is, a trip is a trip.
      const proxy = await startFaultProxy(sandbox.apiHost, undefined, { latencyMs: 50, clock });
      proxies.push(proxy);
      const env = { ...(await describePullRequest(7)), CLEARML_API_HOST: proxy.url };
      expect((await launch([], { env })).exitCode).toBe(0);
      expect(proxy.seen.length).toBeLessThanOrEqual(expected.requests);
      expect(countRoundTrips(proxy.seen)).toBeLessThanOrEqual(expected.roundTrips);
    }
  });
});
