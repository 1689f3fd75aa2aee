import { describe, expect, it } from '@jest/globals';
import { formatGivenParams, readGivenParams } from './given.ts';

describe('the params that a launch gave', () => {
  it('are read as they were written, with the type where one was named', () => {
    const params = [
      { name: 'Args/lr', value: '1.10' },
      { name: 'Args/model/width', value: '' },
      { name: 'Transformers/fp16', value: 'false', type: 'bool' },
    ];

    expect(readGivenParams({ ci_given: formatGivenParams(params) })).toEqual(params);
    expect(readGivenParams({ ci_given: formatGivenParams([]) })).toEqual([]);
  });

  it.each([
    {},
    { ci_given: '' },
    { ci_given: '{"Args/lr": "1"}' },
    { ci_given: '[["Args/lr", 1]]' },
    { ci_given: '[null]' },
  ])('are unknown where the runtime says no such thing: %j', (runtime) => {
    expect(readGivenParams(runtime)).toBeUndefined();
  });
});
