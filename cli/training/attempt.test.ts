import { describe, expect, test } from '@jest/globals';
import { createSetUpFilter } from './attempt.ts';

const ID = 'a'.repeat(32);
const PULLED = `task ${ID} pulled from ${ID} by worker agent:0`;
const SET_UP = [PULLED, 'agent.worker_id = agent:0', 'Cloning into …'];
const STARTS = 'Starting Task Execution:';

/** What is shown of a console that comes in these parts, and at its end. */
function show(...parts: string[][]): { readonly during: string[]; readonly after: readonly string[] } {
  const filter = createSetUpFilter();
  const during = parts.flatMap((lines) => filter.take(lines));
  return { during, after: filter.flush() };
}

describe('the set-up of a task', () => {
  test('is one line once the training starts, however it comes', () => {
    const lines = [...SET_UP, STARTS, '', 'epoch 1'];
    const shown = ['… 3 lines of the agent: settings, clone, environment', '', 'epoch 1'];
    expect(show(lines)).toEqual({ during: shown, after: [] });
    expect(show(...lines.map((line) => [line]))).toEqual({ during: shown, after: [] });
  });

  test('is shown whole where it failed', () => {
    const failed = [...SET_UP, 'clearml_agent: ERROR: Failed cloning repository.'];
    expect(show(failed)).toEqual({ during: [], after: failed });
  });

  test('of each attempt is a line of its own; one that failed is shown before the next', () => {
    expect(show([...SET_UP, STARTS, 'epoch 1', ...SET_UP, STARTS, 'epoch 1']).during).toEqual([
      '… 3 lines of the agent: settings, clone, environment',
      'epoch 1',
      '… 3 lines of the agent: settings, clone, environment',
      'epoch 1',
    ]);
    expect(show([...SET_UP, PULLED, STARTS]).during).toEqual([
      ...SET_UP,
      '… 1 line of the agent: settings, clone, environment',
    ]);
  });

  test('that never ends is not held for ever', () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => `line ${index}`);
    const { during, after } = show([PULLED, ...lines]);
    expect([...during, ...after]).toEqual([PULLED, ...lines]);
    expect(after).toEqual([]);
  });
});

test('a console without an agent is left as it is', () => {
  const lines = ['epoch 1', STARTS, 'epoch 2'];
  expect(show(lines)).toEqual({ during: lines, after: [] });
});
