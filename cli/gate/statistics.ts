import jstat from 'jstat';

/** What the gate asks of probability theory. Degrees of freedom need not be whole. */
export interface Statistics {
  /** P(T >= t) for Student's t: the one-sided p-value. */
  tailOfT(t: number, degreesOfFreedom: number): number;
  /** P(F >= ratio): how often a variance with `df` degrees of freedom is by chance so many times one with `baseDf`. */
  tailOfF(ratio: number, df: number, baseDf: number): number;
  /** The t that is exceeded with this probability. */
  criticalT(probability: number, degreesOfFreedom: number): number;
  /**
   * How often a test at level `probability` sees a loss, where a loss counts only if its estimate also exceeds
   * `tolerance`. Loss and tolerance in units of the standard error of the difference.
   */
  power(test: SeenLoss): number;
  /** The smallest loss that is seen with this power, in units of the standard error of the difference. */
  smallestLoss(test: Omit<SeenLoss, 'loss'> & { readonly power: number }): number;
}

export interface SeenLoss {
  readonly loss: number;
  readonly tolerance: number;
  /** Level of the one-sided test. */
  readonly probability: number;
  readonly degreesOfFreedom: number;
}

/**
 * Loads the statistics, which only a configured gate needs.
 *
 * jstat: one package of 1.2 MB without dependencies, imported in 27 ms, MIT; against SciPy its t and chi-squared are
 * right to 1e-7. @stdlib's t is 246 packages, 27 MB and 130 ms; lib-r-math.js 3.9 MB and 120 ms; simple-statistics has
 * no t distribution (Node 20, 2 cores).
 */
export function loadStatistics(): Statistics {
  const { jStat } = jstat;
  // A report asks for the same few critical values again and again, a simulation a million times.
  const criticalT = remember((probability: number, df: number) => -jStat.studentt.inv(probability, df));
  const spreads = remember((_: number, df: number) => listSpreads((p) => jStat.chisquare.inv(p, df) / df));

  const power = ({ loss, tolerance, probability, degreesOfFreedom }: SeenLoss): number => {
    const critical = criticalT(probability, degreesOfFreedom);
    const chances = spreads(0, degreesOfFreedom).map((spread) =>
      jStat.normal.cdf(loss - Math.max(critical * spread, tolerance), 0, 1),
    );
    return chances.reduce((sum, chance) => sum + chance, 0) / chances.length;
  };
  const smallestLoss = (test: Omit<SeenLoss, 'loss'> & { readonly power: number }): number => {
    let low = 0;
    let high = 1;
    while (power({ ...test, loss: high }) < test.power) {
      low = high;
      high *= 2;
    }
    for (let step = 0; step < 40 && high - low > 1e-6 * high; step += 1) {
      const middle = (low + high) / 2;
      if (power({ ...test, loss: middle }) < test.power) low = middle;
      else high = middle;
    }
    return high;
  };
  const smallestLossWithoutTolerance = new Map<string, number>();
  return {
    tailOfT: (t, df) => jStat.studentt.cdf(-t, df),
    // Not 1 - cdf, which has no small numbers. Abramowitz and Stegun 26.6.2
    tailOfF: (ratio, df, baseDf) =>
      ratio === Number.POSITIVE_INFINITY
        ? 0
        : jStat.ibeta(baseDf / (baseDf + df * ratio), baseDf / 2, df / 2),
    criticalT,
    power,
    smallestLoss: (test) => {
      if (test.tolerance !== 0) return smallestLoss(test);
      const key = `${test.probability} ${test.degreesOfFreedom} ${test.power}`;
      const known = smallestLossWithoutTolerance.get(key) ?? smallestLoss(test);
      smallestLossWithoutTolerance.set(key, known);
      return known;
    },
  };
}

const POINTS = 200;

/**
 * Estimated over true standard deviation, at the middles of equally likely intervals: the mean of a function over them is
 * its mean over all estimates. So the power needs no non-central t distribution (jstat's underflows where few degrees of
 * freedom meet a small level), and a tolerance can be part of it.
 */
function listSpreads(quantile: (probability: number) => number): number[] {
  return Array.from({ length: POINTS }, (_, index) => Math.sqrt(quantile((index + 0.5) / POINTS)));
}

function remember<Value>(compute: (a: number, b: number) => Value): (a: number, b: number) => Value {
  const known = new Map<number, Map<number, Value>>();
  return (a, b) => {
    const row = known.get(a) ?? new Map<number, Value>();
    known.set(a, row);
    const value = row.get(b) ?? compute(a, b);
    row.set(b, value);
    return value;
  };
}
