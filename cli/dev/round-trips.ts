import type { SeenRequest } from './fault-proxy.ts';

/**
 * How many answers were awaited before the next request. Requests that are sent before the first answer of their trip
 * count as one.
 */
export function countRoundTrips(
  seen: ReadonlyArray<Pick<SeenRequest, 'beganAtMs' | 'answeredAtMs'>>,
): number {
  let trips = 0;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  for (const request of [...seen].sort((a, b) => a.beganAtMs - b.beganAtMs)) {
    if (request.beganAtMs < answeredAtMs) continue;
    if (request.answeredAtMs === undefined) throw new Error('A request was not answered.');
    trips += 1;
    answeredAtMs = request.answeredAtMs;
  }
  return trips;
}
