import { expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { createPatience } from './outage.ts';

test('of requests that go together, one that is answered does not end the trouble that another one has', async () => {
  const clock = createSimulatedClock();
  const said: string[] = [];
  const patience = createPatience({
    clock,
    outageTimeoutMs: 60_000,
    say: (text) => said.push(text),
    isAnswer: () => false,
  });
  const { signal } = new AbortController();
  const answerAfter = (ms: number) => () => clock.sleep(ms);
  await patience.run(answerAfter(0), signal);
  let failures = 3;
  const troubled = async () => {
    await clock.sleep(100);
    failures -= 1;
    if (failures >= 0) throw new Failure('it is down', { exitCode: EXIT_CODES.unavailable, remedy: '' });
  };
  const fine = async () => {
    for (let nth = 0; nth < 40; nth += 1) await patience.run(answerAfter(250), signal);
  };
  await Promise.all([patience.run(troubled, signal), fine()]);
  expect(said).toEqual([
    'ClearML does not answer (it is down); retrying for up to 1m',
    expect.stringMatching(/^ClearML answers again, after 14/),
  ]);
});
