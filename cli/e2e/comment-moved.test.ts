import { expect, test } from '@jest/globals';
import { base, driver, head, judge, setUpGates, train } from './comment-gate-setup.ts';

setUpGates();

/** A training with these metrics, and without settings for them. */
async function trainAll(
  commit: string,
  metrics: Readonly<Record<string, readonly number[]>>,
): Promise<string> {
  const task = await train(commit, [], { end: 'none' });
  for (const [name, values] of Object.entries(metrics)) {
    const [title = '', series = ''] = name.split('/');
    await driver.reportScalars(task, title, series, values);
  }
  await driver.completeTask(task);
  return task;
}

const report = async (task: string) => {
  const { body } = await judge(task, 'queue: default');
  return { body, json: JSON.parse((await judge(task, 'queue: default', ['--json'])).stdout) };
};

const RECALLS = Object.fromEntries(
  Array.from({ length: 60 }, (_, at) => [`recall/class_${String(at).padStart(2, '0')}`, [0.2, 0.9]]),
);

test('one collapsed class of sixty leads the comment, counted and with its family in one row', async () => {
  await trainAll(base, { ...RECALLS, 'epoch/epoch': [0, 1], 'lr/lr': [0.1, 0.01] });
  const { body, json } = await report(
    await trainAll(head, {
      ...RECALLS,
      'recall/class_17': [0.2, 0.1],
      'epoch/epoch': [0, 9],
      'lr/lr': [0.1, 0.9],
    }),
  );
  const [heading = ''] = body.split('\n').filter((line) => line.startsWith('### '));
  expect(heading).toMatch(
    /`train`: 1 of 60 metrics worse \(noise unknown\): `recall\/class_17` 0\.9 → \*\*0\.1\*\*, -0\.8 \(worse\) against `main`$/,
  );
  expect(body).toMatch(/\| \*\*`recall`\*\* \(60 series\): worst `class_17`, minimum .* \|/);
  expect(body).toContain('<summary>More metrics (60)</summary>');
  expect(body).toContain('<summary>Training (2)</summary>');
  expect(json.tally).toMatchObject({ metrics: 60, worse: 1, better: 0, worst: 'recall/class_17' });
  expect(json.metrics[0]).toMatchObject({
    metric: 'recall/class_17',
    value: 0.1,
    effect: 'worse',
    presence: 'both',
  });
});

test('a metric that the base alone has is a row, and in the document; a new one says so', async () => {
  await trainAll(base, { 'test/accuracy': [0.9], 'test/auc': [0.8] });
  const { body, json } = await report(await trainAll(head, { 'test/accuracy': [0.9], 'test/f1': [0.7] }));
  expect(body).toContain('1 metric unchanged, 1 no longer reported, 1 new');
  expect(body).toMatch(/\| `test\/auc` \| no longer reported \| 0\.8 \|/);
  expect(body).toMatch(/\| `test\/f1` \| \*\*0\.7\*\* \| – \| new \|/);
  const find = (name: string) => json.metrics.find(({ metric }: { metric: string }) => metric === name);
  expect(find('test/auc')).toMatchObject({ value: null, baseline: 0.8, presence: 'gone' });
  expect(find('test/f1')).toMatchObject({ value: 0.7, baseline: null, presence: 'new' });
});
