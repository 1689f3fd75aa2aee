import type { MetricRule } from '../shell/config.ts';
import { matchesPattern } from '../text/pattern.ts';
import type { Pair } from './comparison.ts';
import type { GateBaseline, GateInput, GateNote, GateReason, GateRun, MetricJudgement } from './data.ts';
import { assignRole } from './metric-rules.ts';
import { estimateNoise, isUneven } from './noise.ts';
import {
  countReports,
  type DistinctRuns,
  dropRepeats,
  findFewest,
  findShortest,
  isAlwaysZero,
  type MetricNames,
  measureRuns,
} from './runs.ts';
import { findMean } from './statistics.ts';

interface GatedMetric extends Pick<MetricJudgement, 'gate' | 'goal'> {
  readonly name: string;
  readonly rule: MetricRule;
}

/** A metric to judge; one pair per baseline, in their order. */
export interface MetricDraft extends GatedMetric, Pick<MetricJudgement, 'value' | 'reasons'> {
  readonly pairs: readonly Pair[];
}

/** A baseline with the runs that count. */
interface Base {
  readonly baseline: GateBaseline;
  readonly commits: ReadonlyArray<DistinctRuns & { readonly commit: string }>;
}

/** Each gated metric with its values on both sides, before any test. */
export function draftMetrics(input: GateInput): MetricDraft[] {
  const gated = listGated(input);
  const names = gated.map(({ name, rule }) => ({ name, was: rule.was }));
  const pullRequest = dropRepeats(input.pullRequest, names);
  const bases = input.baselines.map((baseline): Base => {
    const history = 'history' in baseline ? baseline.history : [];
    return {
      baseline,
      commits: history.map(({ commit, runs }) => ({ commit, ...dropRepeats(runs, names) })),
    };
  });
  return gated.map((metric) => draftMetric(metric, pullRequest, bases));
}

/**
 * The metrics that a rule gates: those of the pull request, and those of the nearest base commit, to notice one that is
 * gone. A gated rule without any metric stands for a missing one too.
 */
function listGated({ rules, pullRequest, baselines }: GateInput): GatedMetric[] {
  const own = pullRequest.flatMap(({ values }) => [...values.keys()]);
  const [nearest] = baselines.flatMap((baseline) => ('history' in baseline ? [baseline.history[0]] : []));
  const oldNames = new Set(rules.map(({ was }) => was));
  const expected = (nearest?.runs ?? [])
    .flatMap(({ values }) => [...values.keys()])
    .filter((name) => !oldNames.has(name));
  const byRule = new Map<MetricRule, string[]>(rules.map((rule) => [rule, []]));
  const known = [...new Set([...own, ...expected])].sort();
  for (const name of known) {
    const { rule } = assignRole(name, rules);
    if (rule !== undefined) byRule.get(rule)?.push(name);
  }
  return [...byRule].flatMap(([rule, names]) => {
    const { gate, goal } = rule;
    if (gate === 'off' || goal === undefined) return [];
    // A pattern whose metrics all belong to earlier rules lacks nothing.
    const isMissed = names.length === 0 && !known.some((name) => matchesPattern(rule.metric, name));
    return (isMissed ? [rule.metric] : names).map((name) => ({ name, rule, gate, goal }));
  });
}

function draftMetric(metric: GatedMetric, pullRequest: DistinctRuns, bases: readonly Base[]): MetricDraft {
  // The pull request reports the metric under its present name only.
  const { name, rule, goal } = metric;
  const names = { name, was: rule.was };
  const isZeroUsual = bases.some(({ commits }) => isAlwaysZero(commits, names));
  const trusted = isZeroUsual ? (['unexpected-zero'] as const) : [];
  const { measured, problems } = measureRuns(pullRequest.runs, { name }, trusted);
  const values = measured.map(({ value }) => value);
  const reasons: GateReason[] = [...problems].map(([kind, tasks]) => ({ kind, tasks }));
  if (pullRequest.runs.length === 0) reasons.push({ kind: 'missing', tasks: [] });
  reasons.push(...checkIterations(rule, name, pullRequest.runs, bases));
  return {
    ...metric,
    value: values.length === 0 ? null : findMean(values),
    reasons,
    pairs: shareNoise(
      values,
      bases.map((base) => ({
        baseline: base.baseline.name,
        goal,
        rule,
        values,
        isBlocked: reasons.length > 0 || base.baseline.hasUnfinished === true,
        isSameTraining: base.baseline.isSameTraining === true,
        ...draftBase(names, base, pullRequest, isZeroUsual),
      })),
    ),
  };
}

/**
 * Estimates the noise from all baselines together: the longest history, and the commits that the others add. An added
 * commit whose runs differ far more counts only for its own baseline. A commit of the history always counts: leaving out
 * the widest one makes heavy-tailed noise look too steady (simulated: more false alarms than the 7% in the README).
 */
function shareNoise(values: readonly number[], pairs: ReadonlyArray<Omit<Pair, 'noise'>>): Pair[] {
  const [longest, ...others] = [...pairs].sort((a, b) => b.commits.length - a.commits.length);
  const seen = new Set(others.length === 0 ? [] : longest?.commits.flatMap(({ tasks }) => tasks));
  // A commit that another baseline has too adds nothing.
  const further = others.flatMap(({ commits }) =>
    commits.filter(({ tasks }) => {
      const isKnown = tasks.some((task) => seen.has(task));
      for (const task of tasks) seen.add(task);
      return !isKnown;
    }),
  );
  const toValues = (commits: Pair['commits']) => commits.map((commit) => commit.values);
  const history = toValues(longest?.commits ?? []);
  const uneven = further.filter((commit) => isUneven(commit.values, history));
  return pairs.map((pair): Pair => {
    const leftOut = uneven.filter((commit) => !pair.commits.includes(commit));
    const others = further.filter((commit) => !leftOut.includes(commit));
    const note: GateNote = { kind: 'spread-left-out', commits: leftOut.map(({ commit }) => commit) };
    return {
      ...pair,
      noise: estimateNoise(values, history, toValues(others)),
      notes: leftOut.length === 0 ? pair.notes : [...pair.notes, note],
    };
  });
}

/** A percentage of the base's iterations limits the metric's own reports too: a metric may stop before its run. */
function checkIterations(
  { was, 'min-iterations': minimum }: MetricRule,
  name: string,
  runs: readonly GateRun[],
  bases: readonly Base[],
): GateReason[] {
  if (minimum === undefined) return [];
  const [nearest = []] = bases.flatMap(({ commits }) => (commits[0] === undefined ? [] : [commits[0].runs]));
  const share = typeof minimum === 'number' ? 0 : Number.parseFloat(minimum) / 100;
  const required = typeof minimum === 'number' ? minimum : share * findShortest(nearest);
  const short = runs.filter(({ iterations }) => (iterations ?? 0) < required);
  const requiredReports = share * findFewest(nearest, { name, was });
  const stopped = listStopped(name, runs, requiredReports);
  const missed = [
    ['too-few-iterations', short, required] as const,
    ['too-few-reports', stopped, requiredReports] as const,
  ];
  return missed
    .filter(([, { length }]) => length > 0)
    .map(([kind, at, least]) => ({ kind, tasks: at.map(({ task }) => task), required: Math.ceil(least) }));
}

/** A metric on a baseline. */
function draftBase(
  name: MetricNames,
  { baseline, commits }: Base,
  pullRequest: DistinctRuns,
  isZeroUsual: boolean,
): Pick<Pair, 'commits' | 'reasons' | 'notes'> {
  if ('absence' in baseline) {
    const notes = noteLostSeeds('pull-request', pullRequest);
    return baseline.absence === 'no-history'
      ? { commits: [], reasons: [], notes: [...notes, { kind: 'no-history' }] }
      : { commits: [], reasons: [{ kind: `baseline-${baseline.absence}` }], notes };
  }
  const trusted = isZeroUsual ? (['unexpected-zero', 'unverified-zero'] as const) : [];
  const results = commits.map(({ commit, runs }) => ({ commit, ...measureRuns(runs, name, trusted) }));
  const measured = results
    .filter((result) => result.measured.length > 0)
    .map(({ commit, measured: found }) => ({
      commit,
      tasks: found.map(({ task }) => task),
      values: found.map(({ value }) => value),
    }));
  const source = commits.find(({ commit }) => commit === measured[0]?.commit);
  if (source === undefined) {
    const isMissing = results
      .flatMap(({ problems }) => [...problems.keys()])
      .every((kind) => kind === 'missing');
    const kind = isMissing ? 'missing-in-baseline' : 'unmeasured-in-baseline';
    return { commits: [], reasons: [{ kind }], notes: noteLostSeeds('pull-request', pullRequest) };
  }
  const isOlder = source !== commits[0];
  return {
    commits: measured,
    reasons: baseline.hasUnfinished === true ? [{ kind: 'baseline-unfinished' }] : [],
    notes: [
      ...(isOlder ? [{ kind: 'nearest-unmeasured', commit: source.commit } as const] : []),
      ...compareRuns(name, pullRequest, source),
    ],
  };
}

/** What a reader should know about the runs of both sides, although it decides nothing. */
function compareRuns(name: MetricNames, pullRequest: DistinctRuns, base: DistinctRuns): GateNote[] {
  const notes: GateNote[] = [];
  if (name.was !== undefined && base.runs.every(({ values }) => !values.has(name.name))) {
    notes.push({ kind: 'renamed', was: name.was });
  }
  for (const [side, runs] of [['pull-request', pullRequest] as const, ['base', base] as const]) {
    notes.push(...noteLostSeeds(side, runs));
    if (runs.seedless > 0) notes.push({ kind: 'seed-not-used', side, runs: runs.seedless });
  }
  const iterations = findShortest(base.runs);
  const fewer = pullRequest.runs.filter((run) => run.iterations !== null && run.iterations < iterations);
  if (fewer.length > 0) {
    notes.push({ kind: 'fewer-iterations', tasks: fewer.map(({ task }) => task), baseline: iterations });
  }
  const reports = findFewest(base.runs, name);
  const stopped = listStopped(name.name, pullRequest.runs, reports);
  if (stopped.length > 0) {
    notes.push({ kind: 'fewer-reports', tasks: stopped.map(({ task }) => task), baseline: reports });
  }
  return notes;
}

function noteLostSeeds(side: 'pull-request' | 'base', { lostSeeds }: DistinctRuns): GateNote[] {
  return lostSeeds > 0 ? [{ kind: 'seed-lost', side, runs: lostSeeds }] : [];
}

/** The runs known to have reported the metric fewer times than that. */
function listStopped(name: string, runs: readonly GateRun[], reports: number): GateRun[] {
  return runs.filter((run) => (countReports(run, { name }) ?? reports) < reports);
}
