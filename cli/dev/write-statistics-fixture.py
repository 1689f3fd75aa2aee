"""Writes cli/gate/fixtures/statistics.json: what SciPy says, for cli/gate/statistics.test.ts.

    python -m pip install scipy==1.17.1
    python cli/dev/write-statistics-fixture.py
"""

import json
import math
from pathlib import Path

import numpy
import scipy
from scipy import integrate, optimize, stats

FREEDOMS = [1, 1.6, 2, 3.375, 5, 6.23, 8.23, 10, 22, 50, 200]
LEVELS = [0.1, 0.05, 0.025, 0.01, 0.005, 0.001]


def power_with_tolerance(loss, tolerance, level, df):
    """P(estimate > tolerance and t > critical), by integrating over the estimated variance."""
    critical = stats.t.isf(level, df)

    def chance(share):
        spread = math.sqrt(stats.chi2.ppf(share, df) / df)
        return stats.norm.sf(max(critical * spread, tolerance) - loss)

    return integrate.quad(chance, 0, 1, limit=500, epsabs=1e-9)[0]


def smallest_loss(power, level, df):
    critical = stats.t.isf(level, df)
    return optimize.brentq(lambda loss: stats.nct.sf(critical, df, loss) - power, 0.01, 30 + 2 * critical)


def pooled_test(pull_request, history):
    """The gate's rule by textbook: variance pooled within commits, nearest commit's runs against the pull request's."""
    base = history[0]
    groups = [numpy.array(runs) for runs in [pull_request, *history]]
    df = sum(len(group) - 1 for group in groups)
    variance = sum(((group - group.mean()) ** 2).sum() for group in groups) / df
    error = math.sqrt(variance * (1 / len(pull_request) + 1 / len(base)))
    t = (numpy.mean(base) - numpy.mean(pull_request)) / error
    return {"pullRequest": pull_request, "history": history, "df": df, "sd": math.sqrt(variance), "t": t,
            "p": float(stats.t.sf(t, df))}


def two_sample_test(pull_request, base):
    result = stats.ttest_ind(base, pull_request, alternative="greater")
    return {"pullRequest": pull_request, "history": [base], "df": float(result.df), "t": float(result.statistic),
            "p": float(result.pvalue)}


def holm(p_values):
    """Holm 1979, as statsmodels' multipletests(method='holm') and R's p.adjust give it."""
    order = numpy.argsort(p_values, kind="stable")
    adjusted = numpy.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return {"raw": p_values, "adjusted": adjusted.tolist()}


def main():
    random = numpy.random.default_rng(7)
    draw = lambda size, shift=0.0: numpy.round(random.normal(0.9 - shift, 0.01, size), 6).tolist()
    document = {
        "scipy": scipy.__version__,
        "tail": [
            {"t": t, "df": df, "p": float(stats.t.sf(t, df))}
            for df in FREEDOMS
            for t in [-3, -0.5, 0, 0.5, 1, 1.7, 2.5, 4, 8, 20]
        ],
        "tailOfF": [
            {"ratio": ratio, "df": df, "baseDf": base_df, "p": float(stats.f.sf(ratio, df, base_df))}
            for df in [1, 2, 4]
            for base_df in [1, 2, 3, 3.571]
            for ratio in [0.1, 1, 5, 99, 5000]
        ],
        "critical": [
            {"level": level, "df": df, "t": float(stats.t.isf(level, df))} for df in FREEDOMS for level in LEVELS
        ],
        "power": [
            {"loss": loss, "tolerance": 0, "level": level, "df": df,
             "power": float(stats.nct.sf(stats.t.isf(level, df), df, loss))}
            for df in [2, 6.23, 22, 50]
            for level in [0.05, 0.01]
            for loss in [0.5, 1.5, 2.449, 4, 6]
        ],
        "powerWithTolerance": [
            {"loss": loss, "tolerance": tolerance, "level": 0.05, "df": df,
             "power": power_with_tolerance(loss, tolerance, 0.05, df)}
            for df in [2, 6.23, 22]
            for tolerance in [0.5, 1.7, 3]
            for loss in [1.5, 2.449, 4]
        ],
        "smallestLoss": [
            {"power": 0.8, "level": level, "df": df, "loss": float(smallest_loss(0.8, level, df))}
            for df in [2, 6.23, 8.23, 22, 50]
            for level in [0.05, 0.01]
        ],
        "twoSample": [two_sample_test(draw(k, shift), draw(n)) for k, n, shift in [(3, 3, 0), (3, 3, 0.02), (5, 2, 0.01)]],
        "pooled": [
            pooled_test(draw(k, shift), [draw(n) for n in runs])
            for k, runs, shift in [(3, [3] * 10, 0), (3, [3] * 10, 0.02), (1, [3, 2, 4], 0.03), (4, [1, 3, 1, 2], 0.01)]
        ],
        "holm": [holm(p_values) for p_values in [[0.01], [0.04, 0.01, 0.03], [0.2, 0.001, 0.02, 0.02, 0.9]]],
    }
    target = Path(__file__).parent.parent / "gate" / "fixtures" / "statistics.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
