import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { formatConfigSchema } from './config-schema.ts';

const root = new URL('../../', import.meta.url);

test('the JSON Schema that ships is the one made from the code (npm run schema writes it)', async () => {
  expect(await readFile(new URL('templates/clearml-ci.schema.json', root), 'utf8')).toBe(
    formatConfigSchema(),
  );
});

test("an editor that uses it accepts this repository's settings and marks a wrong key", async () => {
  const validate = new Ajv().compile(JSON.parse(formatConfigSchema()));
  expect(validate(parse(await readFile(new URL('.github/clearml-ci.yml', root), 'utf8')))).toBe(true);
  expect(validate({ quue: 'default' })).toBe(false);
  expect(validate({ baseline: { tag: 'production' } })).toBe(true);
  expect(validate({ baseline: { tag: 'production', runs: 3 } })).toBe(false);
  expect(validate({ baseline: [{ branch: 'main' }, { tag: 'production' }] })).toBe(true);
  expect(validate({ baseline: ['none'] })).toBe(false);
});
