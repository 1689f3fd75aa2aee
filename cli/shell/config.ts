import * as v from 'valibot';
import { DURATION, parseDurationMs } from '../text/duration.ts';
import { PARAM_TYPE, splitParamName } from '../text/param-name.ts';
import { coversPattern } from '../text/pattern.ts';
import { isRecord } from './json.ts';
import { isStatusContext, STATUS_CONTEXT_WORDS } from './status-context.ts';

// The schema of the settings file `.github/clearml-ci.yml`. `npm run schema` writes templates/clearml-ci.schema.json from it.

const Text = v.pipe(
  v.string('must be text (put it in quotes)'),
  v.trim(),
  v.minLength(1, 'must not be empty'),
);

const Tag = v.pipe(
  Text,
  v.check(
    (tag) => !tag.startsWith('__$'),
    'must not begin with "__$": ClearML keeps such names for operators of its filters',
  ),
);

const ParamName = v.pipe(
  Text,
  v.check((name) => !/^\/|\/$|\p{Cc}/u.test(name), 'must be a name, or a section and a name: Section/name'),
);

const SeedParam = v.pipe(
  ParamName,
  v.check(
    (name) => splitParamName(name) !== undefined,
    'must be [Section/]name, or [Section/]name:type with a type such as fire.Arg.shared',
  ),
);

const Name = v.pipe(Text, v.minLength(3, 'must have at least 3 characters (ClearML refuses shorter names)'));

const Project = v.pipe(
  Name,
  v.check((name) => {
    const parts = name.split('/').map((part) => [...part.trim()].length);
    const lengths = parts.filter((length) => length > 0);
    return lengths.length > 0 && lengths.length <= 10 && lengths.every((length) => length >= 3);
  }, 'must have at most 10 parts between slashes, each of at least 3 characters (ClearML refuses others)'),
);

const DURATION_WORDS = 'must be a duration with its unit, such as 30s, 90m, 2h or 1h30m';

const Duration = v.pipe(
  v.string(DURATION_WORDS),
  v.trim(),
  v.regex(DURATION, DURATION_WORDS),
  v.transform((text) => parseDurationMs(text) ?? 0),
);

const RelativePath = v.pipe(
  Text,
  v.check(isInside, 'must be a path inside the repository, relative to its root'),
);

const UNKNOWN_KEY_WORDS = 'is not a setting';
const UnknownKey = v.pipe(
  v.unknown(),
  v.check(() => false, UNKNOWN_KEY_WORDS),
);

/** Like `v.strictObject`, which names only the first unknown key. This one names all of them. It is for records only. */
function mapping<const Entries extends v.ObjectEntries>(entries: Entries) {
  const schema = v.objectWithRest(entries, UnknownKey, 'is required');
  return schema as unknown as v.StrictObjectSchema<Entries, 'is required'>;
}

/** valibot accepts a list as an object with the keys 0, 1, …; this does not. */
const Mapping = v.custom<Record<string, unknown>>(isRecord, 'must be a mapping of keys to values');

const Flag = v.boolean('must be true or false');

/** Tags that a launch puts on its tasks, or that a filter of ClearML's would misread. */
const OWN_TAG =
  /^(?:-|__\$|(?:pr|base|base-until|branch|seeds|ci-reported):|(?:ci|ci-reported|taken-over)$)|\p{Cc}/u;

const Promote = v.pipe(
  v.custom<Record<string, unknown>>(isRecord, 'must be { tag: … } or { tag: …, publish: true }'),
  mapping({
    tag: v.pipe(
      Text,
      v.check(
        (tag) => !OWN_TAG.test(tag),
        'must be a tag of your own: none that the programs set (ci, pr:…, base:…), nor one that begins with "-" or "__$"',
      ),
    ),
    publish: v.optional(Flag, false),
  }),
);

const TextList = v.array(Text, 'must be a list');

const AnyNumber = v.number('must be a number');

const SCALAR_WORDS = 'must be a text, a number, true or false';

const Scalar = v.union([v.string(), v.number(), v.boolean()], SCALAR_WORDS);

const TypedParam = mapping({
  value: Scalar,
  type: v.optional(
    v.pipe(Text, v.regex(PARAM_TYPE, 'must be a type such as bool, list/int or click.Command')),
  ),
});

const ParamValue = v.union(
  [v.string(), v.number(), v.boolean(), TypedParam],
  `${SCALAR_WORDS}, or { value: …, type: … }`,
);

const WholeNumber = v.pipe(v.number('must be a whole number'), v.safeInteger('must be a whole number'));

const Seed = v.pipe(WholeNumber, v.minValue(0, 'must not be negative'));

const RETRIES_WORDS = 'must be from 0 to 10';

const PERCENTAGE = /^\d+(?:\.\d+)?\s*%$/;

// valibot shows the message of a union's member where its type fits, so each check has the whole message.
const SEEDS_WORDS = 'must be a number of seeds (1 to 100), or a list of different whole numbers';

const Seeds = v.union(
  [
    v.pipe(v.number(), v.safeInteger(SEEDS_WORDS), v.minValue(1, SEEDS_WORDS), v.maxValue(100, SEEDS_WORDS)),
    v.pipe(
      v.array(Seed),
      v.minLength(1, SEEDS_WORDS),
      v.maxLength(100, SEEDS_WORDS),
      v.check((seeds) => new Set(seeds).size === seeds.length, SEEDS_WORDS),
    ),
  ],
  SEEDS_WORDS,
);

const TOLERANCE_WORDS = 'must be a number that is not negative, or a percentage such as "1%"';

const Tolerance = v.union(
  [
    v.pipe(v.number(), v.finite(TOLERANCE_WORDS), v.minValue(0, TOLERANCE_WORDS)),
    v.pipe(v.string(), v.regex(PERCENTAGE, TOLERANCE_WORDS)),
  ],
  TOLERANCE_WORDS,
);

const MIN_ITERATIONS_WORDS =
  'must be a number of iterations, or a percentage of those of the baseline such as "90%"';

const MinIterations = v.union(
  [
    v.pipe(v.number(), v.safeInteger(MIN_ITERATIONS_WORDS), v.minValue(1, MIN_ITERATIONS_WORDS)),
    v.pipe(
      v.string(),
      v.regex(PERCENTAGE, MIN_ITERATIONS_WORDS),
      v.check((text) => {
        const percent = Number.parseFloat(text);
        return Number.isNaN(percent) || (percent > 0 && percent <= 100);
      }, MIN_ITERATIONS_WORDS),
    ),
  ],
  MIN_ITERATIONS_WORDS,
);

export const MetricSchema = v.pipe(
  Mapping,
  mapping({
    metric: Text,
    was: v.optional(Text),
    goal: v.optional(choice('maximize', 'minimize')),
    value: v.optional(choice('last', 'min', 'max'), 'last'),
    tolerance: v.optional(Tolerance, 0),
    gate: v.optional(choice('fail', 'warn', 'off'), 'off'),
    detect: v.optional(v.pipe(AnyNumber, v.finite('must be finite'), v.gtValue(0, 'must be greater than 0'))),
    'min-iterations': v.optional(MinIterations),
  }),
  v.forward(
    v.partialCheck(
      [['goal'], ['gate']],
      ({ goal, gate }) => gate === 'off' || goal !== undefined,
      'is required where gate is fail or warn: maximize or minimize',
    ),
    ['goal'],
  ),
  v.forward(
    v.partialCheck(
      [['detect'], ['tolerance']],
      ({ detect, tolerance }) => detect === undefined || typeof tolerance === 'string' || detect > tolerance,
      'must be greater than tolerance: a loss within the tolerance is never a regression',
    ),
    ['detect'],
  ),
  v.forward(
    v.partialCheck(
      [['was'], ['metric']],
      ({ was, metric }) => was === undefined || (was !== metric && !/[*?]/.test(`${metric}${was}`)),
      'must be the earlier name of this one metric: another name, and no * or ? in either',
    ),
    ['was'],
  ),
);

/** The first rule that matches a metric decides. A gate further down would never act, and nobody would notice. */
const Metrics = v.pipe(
  v.array(MetricSchema, 'must be a list'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const rules = dataset.value;
    for (const [index, rule] of rules.entries()) {
      const first = rules.findIndex(({ metric }) => coversPattern(metric, rule.metric));
      if (rule.gate === 'off' || first >= index) continue;
      addIssue({
        message: `is matched by metrics[${first}] first, so this gate would never act: move it above that one`,
        path: [
          { type: 'array', origin: 'value', input: rules, key: index, value: rule },
          { type: 'object', origin: 'value', input: rule, key: 'metric', value: rule.metric },
        ],
      });
    }
  }),
);

const Runs = v.pipe(WholeNumber, v.minValue(1, 'must be at least 1'), v.maxValue(100, 'must be at most 100'));

export const BASELINE_FORMS = {
  none: v.literal('none'),
  task: mapping({ task: Text }),
  tag: mapping({ tag: Tag }),
  branch: mapping({ branch: v.optional(Text), runs: v.optional(Runs, 10) }),
};

const BASELINE_WORDS = '{ branch: …, runs: … }, { task: ID } or { tag: … }';

/** Lazy, so that a mistake is reported for the form that was meant. */
const OneBaseline = v.lazy((input) => {
  if (!isRecord(input)) return v.never(`must be ${BASELINE_WORDS}`);
  if (['task', 'tag', 'branch'].filter((form) => form in input).length > 1)
    return v.never(`must be one of ${BASELINE_WORDS}; to compare with several, list them`);
  if ('task' in input) return BASELINE_FORMS.task;
  if ('tag' in input) return BASELINE_FORMS.tag;
  return BASELINE_FORMS.branch;
});

const BaselineList = v.pipe(
  v.array(OneBaseline),
  v.minLength(1, 'must not be empty (write none for no baseline)'),
  v.maxLength(5, 'must be at most 5 baselines'),
);

/** One baseline, several (a fixed anchor beside the moving one), or `none`. */
export const BaselineSchema = v.lazy((input) => {
  if (input === 'none') return BASELINE_FORMS.none;
  if (Array.isArray(input)) return BaselineList;
  return isRecord(input) ? OneBaseline : v.never(`must be ${BASELINE_WORDS}, a list of these, or none`);
});

export const ConfigSchema = v.pipe(
  Mapping,
  mapping({
    project: setting(Project, "ClearML project, created if it is missing. Default: the repository's name."),
    'task-name': setting(
      Name,
      'Task name, for all branches. Default: working-dir/entry-point without extension.',
    ),
    queue: setting(Text, 'Name or id of the queue for the task. Default: default.'),
    'entry-point': setting(RelativePath, 'Program to run, relative to working-dir. Default: train_model.py.'),
    'working-dir': setting(
      RelativePath,
      "Folder to run it in, below the repository's root. Default: the root.",
    ),
    requirements: setting(
      RelativePath,
      "Requirements file for the task. Default: the agent reads the repository's.",
    ),
    'docker-image': setting(Text, 'Image in which the agent runs the task. Default: none.'),
    'docker-args': setting(Text, 'Arguments for docker run. Default: none.'),
    params: setting(
      v.pipe(Mapping, v.record(ParamName, ParamValue)),
      'Hyperparameters by [Section/]name: a value, or { value: false, type: bool }. Default section: Args (argparse).',
    ),
    tags: setting(v.array(Tag, 'must be a list'), 'Further tags of the task.'),
    paths: setting(
      v.pipe(TextList, v.minLength(1, 'must not be empty')),
      'Patterns of the files that decide the result. Other changes do not train again. Default: every file.',
    ),
    reuse: setting(Flag, 'Reuse an earlier task of the same training. Default: true.'),
    supersede: setting(Flag, "End the pull request's unfinished tasks of older commits. Default: true."),
    seeds: setting(Seeds, 'Seeds 1 to n, or a list of seeds: one task each. Default: one task, no seed set.'),
    'seed-param': setting(SeedParam, 'The param for the seed: [Section/]name[:type]. Default: Args/seed.'),
    timeout: setting(Duration, 'How long each task may run, from its start: 30s, 90m, 1h30m. Default: 1h.'),
    'queue-timeout': setting(
      Duration,
      'How long a task may wait while no worker serves the queue, or one of them is idle. Default: 30m.',
    ),
    retries: setting(
      v.pipe(WholeNumber, v.minValue(0, RETRIES_WORDS), v.maxValue(10, RETRIES_WORDS)),
      'How often a task whose worker was lost is enqueued again: 0 to 10. Default: 0.',
    ),
    metrics: setting(Metrics, 'The metrics at the top of the comment, and the gate.'),
    baseline: setting(
      BaselineSchema,
      'What to compare with. With several, a regression against one of them counts. Default: the base branch.',
    ),
    status: setting(
      v.pipe(Text, v.check(isStatusContext, STATUS_CONTEXT_WORDS)),
      "Context of the commit status for the verdict; the base branch's file decides. Default: none.",
    ),
    detach: setting(
      Flag,
      "true: no job waits, the collecting workflow reports; implies status: ClearML. The base branch's file decides. Default: false.",
    ),
    promote: setting(
      Promote,
      'What a push that passes the gate does to its model: tag: the tag that moves to it; publish: true publishes it. Default: nothing.',
    ),
    alpha: setting(
      v.pipe(AnyNumber, v.gtValue(0, 'must be greater than 0'), v.maxValue(0.5, 'must be at most 0.5')),
      'Share of harmless pull requests that the gate may block, over all metrics. Default: 0.05.',
    ),
    comment: setting(
      choice('update', 'recreate'),
      'recreate: another verdict is a new comment, of which GitHub sends mail, and the old one goes. Default: update.',
    ),
  }),
);

/** The settings file's content; durations in ms. */
export type Config = v.InferOutput<typeof ConfigSchema>;

/** One entry of `metrics`: how a metric counts. */
export type MetricRule = v.InferOutput<typeof MetricSchema>;

/** One entry of `baseline`, or its only one. */
export type BaselineRule = Exclude<NonNullable<Config['baseline']>, 'none' | readonly unknown[]>;

export interface ConfigIssue {
  /** Keys and indices from the root to the place. */
  readonly path: ReadonlyArray<string | number>;
  readonly message: string;
  /** Where the path's last key is unknown: the keys that may stand there. */
  readonly knownKeys?: readonly string[];
}

/** Checks the settings file's content and lists every mistake in it. An empty file is a valid config. */
export function parseConfig(
  content: unknown,
): { readonly config: Config } | { readonly issues: readonly ConfigIssue[] } {
  const result = v.safeParse(ConfigSchema, content ?? {});
  if (result.success) return { config: Object.freeze(result.output) };
  const issues = result.issues.flatMap(openUnion).map(({ path = [], message }): ConfigIssue => {
    const keys = path.map(({ key }) => (typeof key === 'number' ? key : String(key)));
    return { path: keys, message, ...(message === UNKNOWN_KEY_WORDS ? { knownKeys: listKeys(keys) } : {}) };
  });
  const isUnknownKey = ({ knownKeys }: ConfigIssue) => knownKeys !== undefined;
  return { issues: [...issues.filter(isUnknownKey), ...issues.filter((issue) => !isUnknownKey(issue))] };
}

/** What is read of valibot's issues. */
interface FoundIssue {
  readonly path?: ReadonlyArray<{ readonly key: unknown }> | undefined;
  readonly message: string;
  readonly issues?: readonly FoundIssue[] | undefined;
  readonly input?: unknown;
}

/** Of a union that nothing fits: the unknown keys, where a flat mapping was given. Else one issue for the whole. */
function openUnion({ path = [], message, issues = [], input }: FoundIssue): FoundIssue[] {
  const unknown = issues.filter((issue) => issue.message === UNKNOWN_KEY_WORDS);
  const isFlat = isRecord(input) && Object.values(input).every((value) => typeof value !== 'object');
  if (unknown.length === 0 || !isFlat) return [{ path, message }];
  return unknown.map((issue) => ({ ...issue, path: [...path, ...(issue.path ?? [])] }));
}

/** The known keys at the place of the path's last key. */
function listKeys(path: ReadonlyArray<string | number>): readonly string[] {
  if (path.length === 1) return Object.keys(ConfigSchema.pipe[1].entries);
  if (path[0] === 'metrics') return Object.keys(MetricSchema.pipe[1].entries);
  if (path[0] === 'params') return Object.keys(TypedParam.entries);
  if (path[0] === 'promote') return Object.keys(Promote.pipe[1].entries);
  return Object.values(BASELINE_FORMS).flatMap((form) =>
    'entries' in form ? Object.keys(form.entries) : [],
  );
}

/** Whether a path is relative and stays inside: no drive, no root, no `..`. */
function isInside(path: string): boolean {
  return !/^(?:[\\/]|[a-z]:)/i.test(path) && !path.split(/[\\/]/).includes('..') && !/\p{Cc}/u.test(path);
}

/** An optional key, with the description that an editor shows. */
function setting<TSchema extends v.GenericSchema>(schema: TSchema, description: string) {
  return v.optional(v.pipe(schema, v.description(description)));
}

/** One of these words. */
function choice<const Options extends readonly string[]>(...options: Options) {
  return v.picklist(options, `must be ${options.slice(0, -1).join(', ')} or ${options.at(-1)}`);
}
