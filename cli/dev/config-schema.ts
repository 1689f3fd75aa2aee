import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import { BASELINE_FORMS, BaselineSchema, ConfigSchema } from '../core/config.ts';

/** The JSON Schema of the settings file, made from the schema that checks it; for editors. */
export function formatConfigSchema(): string {
  const options = { errorMode: 'ignore' } as const;
  const schema = toJsonSchema(ConfigSchema, {
    ...options,
    overrideSchema: ({ valibotSchema, jsonSchema }): JsonSchema => {
      if (valibotSchema !== BaselineSchema) return jsonSchema;
      return {
        anyOf: Object.values(BASELINE_FORMS).map((form) => withoutDialect(toJsonSchema(form, options))),
      };
    },
  });
  return `${JSON.stringify({ title: 'Settings of clearml-ci-cd (.github/clearml-ci.yml)', ...schema }, undefined, 2)}\n`;
}

function withoutDialect({ $schema: _, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
