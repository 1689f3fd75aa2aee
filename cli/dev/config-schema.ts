import {
  type ConversionConfig,
  type JsonSchema,
  type OverrideActionContext,
  type OverrideSchemaContext,
  toJsonSchema,
} from '@valibot/to-json-schema';
import { BASELINE_FORMS, BaselineSchema, ConfigSchema, MetricSchema } from '../shell/config.ts';
import { PARAM_TYPE } from '../text/param-name.ts';

/** Names it for tools that keep several; it is no address. */
const ID = 'urn:clearml-ci-cd:settings';

/** The JSON Schema of the settings file, made from the schema that checks it; for editors and other checkers. */
export function formatConfigSchema(): string {
  const { $schema, ...schema } = toJsonSchema(ConfigSchema, {
    ...OPTIONS,
    overrideSchema(context): JsonSchema {
      if (context.valibotSchema === MetricSchema.pipe[1])
        return { ...closeMapping(context), ...METRIC_RULES };
      if (context.valibotSchema !== BaselineSchema) return closeMapping(context);
      const { none, ...forms } = BASELINE_FORMS;
      const single = Object.values(forms).map((form) => withoutDialect(toJsonSchema(form, OPTIONS)));
      return {
        anyOf: [
          withoutDialect(toJsonSchema(none, OPTIONS)),
          ...single,
          { type: 'array', minItems: 1, maxItems: 5, items: { anyOf: single } },
        ],
      };
    },
  });
  const title = 'Settings of clearml-ci-cd (.github/clearml-ci.yml)';
  // An empty file holds null.
  const whole = { $schema, $id: ID, title, ...schema, type: ['object', 'null'] };
  return `${JSON.stringify(whole, undefined, 2)}\n`;
}

/** What the schema says of unknown keys is a check, which the conversion leaves out, as it does all checks. */
function closeMapping({ valibotSchema, jsonSchema }: OverrideSchemaContext): JsonSchema {
  const isMapping = valibotSchema.type === 'object_with_rest';
  return isMapping ? { ...jsonSchema, additionalProperties: false } : jsonSchema;
}

/** Of the checks between the keys of a metric those that JSON Schema can hold. */
const METRIC_RULES: JsonSchema = {
  allOf: [
    {
      if: { required: ['gate'], properties: { gate: { enum: ['fail', 'warn'] } } },
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own word
      then: { required: ['goal'] },
    },
    {
      if: { required: ['was'] },
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own word
      then: { properties: { metric: { pattern: '^[^*?]*$' }, was: { pattern: '^[^*?]*$' } } },
    },
  ],
};

const CONTROL = '\\u0000-\\u001f\\u007f-\\u009f';
const PART = '[^\\s/][^/]+[^\\s/]\\s*';

/** What the checks of single values ask for, by the begin of their message. Blanks around a text are trimmed first. */
const CHECKS: ReadonlyArray<readonly [message: string, rule: JsonSchema]> = [
  ['must not begin with "__$"', { pattern: '^(?!\\s*__\\$)' }],
  [
    'must be a tag of your own',
    {
      pattern: `^(?!\\s*(?:-|__\\$|(?:pr|base|base-until|branch|seeds|ci-reported):|(?:ci|ci-reported|taken-over)\\s*$))[^${CONTROL}]*$`,
    },
  ],
  ['must be a name, or a section', { pattern: `^(?!\\s*/)(?!.*/\\s*$)[^${CONTROL}]*$` }],
  [
    'must be [Section/]name',
    { pattern: `^[^:]*$|^(?=[\\s\\S]*[^\\s:][\\s\\S]*:)[\\s\\S]*:\\s*${inner(PARAM_TYPE)}\\s*$` },
  ],
  ['must have at most 10 parts', { pattern: `^[\\s/]*${PART}(?:/[\\s/]*${PART}){0,9}[\\s/]*$` }],
  [
    'must be a path inside',
    {
      pattern: `^(?!\\s*(?:[\\\\/]|[A-Za-z]:))(?!(?:\\s*|[\\s\\S]*[\\\\/])\\.\\.(?:[\\\\/]|\\s*$))[^${CONTROL}]*$`,
    },
  ],
  [
    'must be one line of at most 255',
    {
      pattern: `^\\s*[^\\s${CONTROL}](?:[^${CONTROL}\\u2028\\u2029]{0,253}[^\\s${CONTROL}])?\\s*$`,
    },
  ],
  ['must be a number of seeds', { uniqueItems: true }],
  [
    'must be a number of iterations',
    { pattern: '^(?!0+(?:\\.0+)?\\s*%)0*(?:100(?:\\.0+)?|\\d{1,2}(?:\\.\\d+)?)\\s*%$' },
  ],
];

function inner({ source }: RegExp): string {
  return `(?:${source.replace(/^\^|\$$/g, '')})`;
}

/** The words of a percentage, which is not trimmed. */
const UNTRIMMED = /percentage/;

function addCheck({ valibotAction, jsonSchema }: OverrideActionContext): JsonSchema | undefined {
  const { type, requirement } = valibotAction as { type: string; requirement?: unknown };
  const message = String((valibotAction as { message?: unknown }).message ?? '');
  const isText = jsonSchema.type === 'string';
  const rules =
    type === 'check' ? CHECKS.filter(([begin]) => message.startsWith(begin)).map(([, rule]) => rule) : [];
  if (isText && type === 'min_length')
    rules.push({ pattern: requirement === 1 ? '\\S' : `\\S[\\s\\S]{${Number(requirement) - 2},}\\S` });
  if (isText && type === 'regex' && requirement instanceof RegExp)
    rules.push({ pattern: UNTRIMMED.test(message) ? requirement.source : `^\\s*${inner(requirement)}\\s*$` });
  if (rules.length === 0) return undefined;
  const { minLength: _, pattern: __, ...rest } = jsonSchema;
  const added = [...(jsonSchema.allOf ?? []), ...rules];
  return { ...rest, allOf: added };
}

const OPTIONS = {
  errorMode: 'ignore',
  overrideSchema: closeMapping,
  overrideAction: addCheck,
} as const satisfies ConversionConfig;

function withoutDialect({ $schema: _, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
