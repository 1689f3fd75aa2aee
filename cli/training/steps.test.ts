import { expect, test } from '@jest/globals';
import { describeSteps, readSteps } from './steps.ts';

const ID = 'a'.repeat(32);
const configure = (nodes: unknown) => ({ Pipeline: { name: 'Pipeline', value: JSON.stringify(nodes) } });

test('the steps of a pipeline are those that its controller keeps', () => {
  const steps = readSteps(
    configure({
      load: { status: 'cached', executed: ID },
      train: { status: 'running', executed: null, job_id: 'b'.repeat(32) },
      report: { status: 'pending', executed: null },
    }),
  );
  expect(steps.map(({ taskId }) => taskId)).toEqual([ID, 'b'.repeat(32), undefined]);
  expect(describeSteps(steps)).toBe('1 of 3 steps completed, running: train');
});

test.each<[string, Record<string, unknown>]>([
  ['a training', {}],
  ['something else under the name', { Pipeline: { value: 'lr: 1' } }],
  ['a list', configure([1])],
  ['hostile nodes', configure({ a: 1, b: null })],
])('%s has none', (_, configuration) => {
  expect(describeSteps(readSteps(configuration))).toBe('');
});
