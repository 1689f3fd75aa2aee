import { writeFile } from 'node:fs/promises';
import { formatConfigSchema } from './config-schema.ts';

await writeFile(new URL('../../templates/clearml-ci.schema.json', import.meta.url), formatConfigSchema());
