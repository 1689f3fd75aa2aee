import type { BaselineRule, Config } from '../../shell/config.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import { isTaskId } from '../../training/task.ts';

type ConfiguredBaseline = NonNullable<Config['baseline']>;

/** The baselines in the settings: first the one that the report shows, then the gate's anchors. */
export function listBaselineRules(configured: ConfiguredBaseline): readonly BaselineRule[] {
  if (configured === 'none') return [];
  return Array.isArray(configured) ? configured : [configured];
}

/**
 * Parses `--baseline`: a task id, `branch:NAME`, `tag:NAME` or `none`.
 *
 * @throws Failure (usage)
 */
export function parseBaseline(text: string): ConfiguredBaseline {
  const value = text.trim();
  if (value === 'none') return 'none';
  if (isTaskId(value)) return { task: value };
  const [, kind, name = ''] = /^(branch|tag):(.*)$/s.exec(value) ?? [];
  if (kind !== undefined && name.trim() !== '') {
    return kind === 'branch' ? { branch: name.trim(), runs: DEFAULT_RUNS } : { tag: name.trim() };
  }
  throw new Failure(`invalid --baseline "${text}": expected a task id, branch:NAME, tag:NAME or none`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'A task id has 32 hexadecimal digits; the task’s page in ClearML shows it.',
  });
}

const DEFAULT_RUNS = 10;

/** The default: the pull request's base branch. */
export const DEFAULT_BASELINE: BaselineRule = { runs: DEFAULT_RUNS };
