import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { drawWatchCurve, WATCH_CURVE } from './draw-watch-curve.ts';

test('the curve that cli/check/README.md shows is that of the schedule', () => {
  // Remade by: node --import tsx cli/dev/draw-watch-curve.ts
  expect(readFileSync(WATCH_CURVE, 'utf8') === drawWatchCurve()).toBe(true);
});
