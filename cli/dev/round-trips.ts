import type { SeenRequest } from './fault-proxy.ts';

/**
 * How many times somebody has waited for an answer before asking on: requests that set out before the first of their
 * trip was answered count together.
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
