import { DEFAULT_ALPHA } from '../gate/data.ts';
import type { BaselineRule, Config, MetricRule } from '../shell/config.ts';
import { parseConfigText } from '../shell/config-file.ts';
import { Failure, type Settled, settle } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { statusContextOf } from '../shell/status-context.ts';
import { matchesPattern } from '../text/pattern.ts';
import { type Names, resolveNames, resolveSeedParam } from '../training/names.ts';
import { hashPipeline, identifyPipelineRepository } from '../training/pipeline.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import { listBaselineTasks } from './baseline/baseline.ts';
import { DEFAULT_BASELINE, listBaselineRules } from './baseline/rules.ts';
import { hasGate } from './gate-input.ts';
import type { Options } from './options.ts';
import { isPattern } from './ranking/ranking.ts';
import type { ReportSources } from './sources.ts';
import type { BaseSettings } from './subject.ts';

/** A setting that differs from the base branch's. Values as people write them; null if not set. */
export interface SettingsChange {
  /** The metric's name or pattern; null for a setting of the whole file. */
  readonly metric: string | null;
  /** Its key in the settings file. */
  readonly setting: string;
  readonly base: string | null;
  readonly value: string | null;
}

/** How the settings that decide the verdict compare with those of the base branch. */
export interface ReportSettings {
  /** `new`: the base branch has no settings file; `unknown`: its file could not be read. */
  readonly kind: 'same' | 'changed' | 'new' | 'unknown';
  /** The file, relative to the repository's root. */
  readonly path: string;
  /** The base branch. */
  readonly branch: string;
  /** Whether anything is gated, here or on the base branch. */
  readonly isGated: boolean;
  /** Why it is `unknown`. */
  readonly problem: string | null;
  readonly changes: readonly SettingsChange[];
}

/** Which settings to compare. */
export interface SettingsQuestion {
  readonly own: Config;
  readonly base: Config;
  /** The pull request's base branch, which is the default baseline. */
  readonly branch: string;
  /** Project and task name in the settings; undefined if the settings did not decide them. */
  readonly names: { readonly own: Names; readonly base: Names } | undefined;
  /** `--baseline` overrides the settings. */
  readonly isBaselineGiven: boolean;
  /** The metrics that were reported, on either side. */
  readonly metrics: Iterable<string>;
}

/**
 * How the settings compare with those of the base branch. A new file counts only if it gates something.
 *
 * @returns undefined if GitHub was not asked for the base branch's file
 */
export async function describeSettings(
  { tasks, baseline, baseSettings }: Pick<ReportSources, 'tasks' | 'baseline' | 'baseSettings'>,
  options: Options,
): Promise<ReportSettings | undefined> {
  const { config: own, flags } = options;
  const path = options.sources.settingsPath;
  if (baseSettings === undefined || path === undefined) return undefined;
  const { branch, file } = baseSettings;
  const isOwnGated = hasGate(own.metrics ?? []);
  const place = { path, branch, problem: null, changes: [] };
  const found = await parseSettings(`${path} of ${branch}`, file);
  if ('failure' in found) {
    const [problem = ''] = found.failure.message.split('\n');
    return { ...place, kind: 'unknown', isGated: isOwnGated, problem };
  }
  const base = found.value ?? {};
  const isGated = isOwnGated || hasGate(base.metrics ?? []);
  if (found.value === undefined && !isGated) return { ...place, kind: 'same', isGated };
  const changes = compareSettings({
    own,
    base,
    branch,
    names: await readNames(base, tasks[0]?.runtime[RUNTIME_KEYS.pipeline], options),
    isBaselineGiven: flags.baseline !== undefined,
    metrics: [...tasks, ...listBaselineTasks(baseline)].flatMap(({ metrics }) =>
      metrics.map(({ name }) => name),
    ),
  });
  const kind = changes.length === 0 ? 'same' : found.value === undefined ? 'new' : 'changed';
  return { ...place, kind, isGated, changes };
}

/**
 * The context of the commit status: by the flag, else by the base branch's settings, so that a pull request cannot switch
 * off what judges it. Where these are unknown, which is said, or new, and without a pull request, its own settings count.
 */
export async function chooseStatusContext(
  { baseSettings }: Pick<ReportSources, 'baseSettings'>,
  { config, flags, launched, sources }: Options,
  { voice }: Pick<Session, 'voice'>,
): Promise<string | undefined> {
  if (flags.status !== undefined) return flags.status.trim();
  const own = statusContextOf(config);
  if (baseSettings === undefined || sources.settingsPath === undefined) return own;
  const name = `${sources.settingsPath} of ${baseSettings.branch}`;
  const found = await parseSettings(name, baseSettings.file);
  if ('value' in found) return found.value === undefined ? own : statusContextOf(found.value);
  // The next tick may know more.
  if (launched !== undefined) throw found.failure;
  const [problem = ''] = found.failure.message.split('\n');
  const what = own === undefined ? 'no commit status is set' : `the commit status is ${own}`;
  voice.warn(`${name} is unknown (${problem}), so ${what}, as the settings here say`);
  return own;
}

/** No value if the branch has no such file. */
async function parseSettings(name: string, file: BaseSettings['file']): Promise<Settled<Config | undefined>> {
  if ('failure' in file) return file;
  return file.value === undefined ? { value: undefined } : settle(parseConfigText(name, file.value));
}

/**
 * Project and task name in the settings, here and on the base branch.
 *
 * @param pipeline the task's; if it has other names (`--project`, `--task-name`), the settings did not decide them
 */
async function readNames(
  base: Config,
  pipeline: string | undefined,
  { config: own, github, target }: Options,
): Promise<SettingsQuestion['names']> {
  const { repository } = target;
  try {
    const resolve = (config: Config) => resolveNames({}, config, { repository }, undefined);
    const names = { own: resolve(own), base: resolve(base) };
    const where = identifyPipelineRepository(repository, github.serverUrl, undefined);
    return (await hashPipeline({ repository: where, ...names.own })) === pipeline ? names : undefined;
  } catch (error) {
    // The settings hold no name, or one that ClearML would refuse.
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/**
 * The settings that decide the verdict and differ from the base branch's. A metric that another rule now decides has
 * changed too. Params, image and requirements are left out: the report compares them with the baseline's.
 */
export function compareSettings(question: SettingsQuestion): SettingsChange[] {
  const { own, base, names } = question;
  const isGated = hasGate(own.metrics ?? []) || hasGate(base.metrics ?? []);
  return [
    ...(names ? compareSetting('project', names.base.project, names.own.project) : []),
    ...(names ? compareSetting('task-name', names.base.taskName, names.own.taskName) : []),
    ...compareSetting('status', statusContextOf(base) ?? null, statusContextOf(own) ?? null),
    ...compareSetting('detach', String(base.detach ?? false), String(own.detach ?? false)),
    ...compareSetting('promote', formatPromote(base), formatPromote(own)),
    ...(isGated ? [...compareRules(question), ...compareWhole(question)] : []),
  ];
}

function compareSetting(
  setting: string,
  base: string | null,
  value: string | null,
  metric: string | null = null,
): SettingsChange[] {
  return base === value ? [] : [{ metric, setting, base, value }];
}

function compareWhole({ own, base, branch, isBaselineGiven }: SettingsQuestion): SettingsChange[] {
  const [before, now] = [base, own].map(
    (config): Record<string, string | null> => ({
      alpha: String(config.alpha ?? DEFAULT_ALPHA),
      baseline: isBaselineGiven ? null : formatBaseline(config.baseline ?? DEFAULT_BASELINE, branch),
      seeds: formatSeeds(config.seeds),
      'seed-param': resolveSeedParam(config).name,
      paths: config.paths?.join(', ') ?? null,
    }),
  );
  return Object.entries(now ?? {}).flatMap(([key, value]) =>
    compareSetting(key, before?.[key] ?? null, value),
  );
}

/** As a line of YAML. */
function formatPromote({ promote }: Config): string | null {
  if (promote === undefined) return null;
  return `{ tag: ${promote.tag}${promote.publish ? ', publish: true' : ''} }`;
}

/** As a line of YAML, without the default branch. */
function formatBaseline(baseline: NonNullable<Config['baseline']>, branch: string): string {
  const rules = listBaselineRules(baseline).map((rule) => {
    const entries = Object.entries(rule satisfies BaselineRule).filter(
      ([key, value]) => !(key === 'branch' && value === branch),
    );
    return `{ ${entries.map(([key, value]) => `${key}: ${value}`).join(', ')} }`;
  });
  return rules.length === 0 ? 'none' : rules.join(', ');
}

/** A list that counts from 1 equals the number. */
function formatSeeds(seeds: Config['seeds']): string | null {
  if (!Array.isArray(seeds)) return seeds === undefined ? null : String(seeds);
  return seeds.every((seed, index) => seed === index + 1) ? String(seeds.length) : `[${seeds.join(', ')}]`;
}

function compareRules({ own, base, metrics }: SettingsQuestion): SettingsChange[] {
  const rules = own.metrics ?? [];
  const baseRules = base.metrics ?? [];
  if (JSON.stringify(rules) === JSON.stringify(baseRules)) return [];
  const changes: SettingsChange[] = [];
  const isSeen = new Set<string>();
  const compare = (metric: string, before: MetricRule | undefined, now: MetricRule | undefined) => {
    isSeen.add(metric);
    changes.push(...compareRule(metric, before, now));
  };
  for (const { metric, was } of rules) {
    if (was !== undefined) isSeen.add(was);
    if (isSeen.has(metric)) continue;
    const renamed = was === undefined ? undefined : decide(was, baseRules);
    compare(metric, decide(metric, baseRules) ?? renamed, decide(metric, rules));
  }
  for (const { metric } of baseRules) {
    if (!isSeen.has(metric)) compare(metric, decide(metric, baseRules), decide(metric, rules));
  }
  // A pattern or an earlier rule may decide a metric that no other rule names.
  for (const metric of new Set(metrics)) {
    const before = decide(metric, baseRules);
    const now = decide(metric, rules);
    if (!isSeen.has(metric) && before?.metric !== now?.metric && !isListed(changes, before ?? now)) {
      compare(metric, before, now);
    }
  }
  return changes;
}

/** The rule that decides a metric; for a pattern the rule with that very pattern. */
function decide(metric: string, rules: readonly MetricRule[]): MetricRule | undefined {
  return isPattern(metric)
    ? rules.find((rule) => rule.metric === metric)
    : rules.find((rule) => matchesPattern(rule.metric, metric));
}

/** Whether the rule's own change of `gate` is listed; then its metrics need not be. */
function isListed(changes: readonly SettingsChange[], rule: MetricRule | undefined): boolean {
  return changes.some(({ metric, setting }) => metric === rule?.metric && setting === 'gate');
}

/** The keys of a rule that decide a verdict. */
const RULE_KEYS = ['goal', 'value', 'tolerance', 'detect', 'min-iterations', 'was'] as const;

function compareRule(
  metric: string,
  before: MetricRule | undefined,
  now: MetricRule | undefined,
): SettingsChange[] {
  const base = before?.gate ?? 'off';
  const value = now?.gate ?? 'off';
  const gate = compareSetting('gate', base, value, metric);
  if (base === 'off' || value === 'off') return gate;
  const format = (setting: MetricRule[keyof MetricRule]) => (setting === undefined ? null : String(setting));
  return [
    ...gate,
    ...RULE_KEYS.flatMap((key) => compareSetting(key, format(before?.[key]), format(now?.[key]), metric)),
  ];
}
