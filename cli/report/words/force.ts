import { EXIT_CODES } from '../../shell/failure.ts';
import type { Report } from '../report.ts';

/** A verdict as it acts on the check: an objection that blocks nothing is a warning. */
export type Force = Report['verdict'] | 'warning';

/** What a verdict comes to, by the gate's exit code. */
export function findForce({ verdict, gate }: Pick<Report, 'verdict' | 'gate'>): Force {
  if (verdict !== 'regression' && verdict !== 'undecided') return verdict;
  if (gate?.exitCode === EXIT_CODES.done) return 'warning';
  // Beside a regression that only warns, an undecided metric may block.
  return gate?.exitCode === EXIT_CODES.undecided ? 'undecided' : verdict;
}
