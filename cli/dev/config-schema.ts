import { type JsonSchema, type OverrideSchemaContext, toJsonSchema } from '@valibot/to-json-schema';
import { BASELINE_FORMS, BaselineSchema, ConfigSchema } from '../shell/config.ts';

/** The JSON Schema of the settings file, made from the schema that checks it; for editors. */
export function formatConfigSchema(): string {
  const options = { errorMode: 'ignore', overrideSchema: closeMapping } as const;
  const schema = toJsonSchema(ConfigSchema, {
    ...options,
    overrideSchema(context): JsonSchema {
      if (context.valibotSchema !== BaselineSchema) return closeMapping(context);
      const { none, ...forms } = BASELINE_FORMS;
      const single = Object.values(forms).map((form) => withoutDialect(toJsonSchema(form, options)));
      return {
        anyOf: [
          withoutDialect(toJsonSchema(none, options)),
          ...single,
          { type: 'array', minItems: 1, maxItems: 5, items: { anyOf: single } },
        ],
      };
    },
  });
  return `${JSON.stringify({ title: 'Settings of clearml-ci-cd (.github/clearml-ci.yml)', ...schema }, undefined, 2)}\n`;
}

/** What the schema says of unknown keys is a check, which JSON Schema can't hold. */
function closeMapping({ valibotSchema, jsonSchema }: OverrideSchemaContext): JsonSchema {
  const isMapping = valibotSchema.type === 'object_with_rest';
  return isMapping ? { ...jsonSchema, additionalProperties: false } : jsonSchema;
}

function withoutDialect({ $schema: _, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
