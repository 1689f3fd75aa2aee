import type { Report } from '../report.ts';
import { findForce } from './force.ts';

/**
 * One character before the heading, so that a reader sees the state without reading. Each is a single code point that every
 * system draws as an emoji, and no two states share one; screen readers say its name in Unicode's CLDR (at the end of the line).
 */
const MARKS = {
  pass: '\u2705', // check mark button
  regression: '\u274c', // cross mark
  warning: '\u{1f514}', // bell: worse, but it blocks nothing
  undecided: '\u2753', // red question mark
  none: '\u{1f3c1}', // chequered flag: at its end, without a verdict
  failed: '\u{1f4a5}', // collision
  stopped: '\u{1f6d1}', // stop sign
  queued: '\u23f3', // hourglass not done
  running: '\u{1f3c3}', // person running
  draft: '\u{1f4dd}', // memo
} as const;

/** The mark of a report's state. */
export function markState({ phase, verdict, gate }: Pick<Report, 'phase' | 'verdict' | 'gate'>): string {
  if (phase !== 'completed') return MARKS[phase];
  if (verdict === 'undecided') return MARKS.undecided;
  const force = findForce({ verdict, gate });
  return force === 'pending' ? MARKS.none : MARKS[force];
}
