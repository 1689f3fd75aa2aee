import { expect, test } from '@jest/globals';
import { findSilentFrameworks } from './reporting.ts';

test.each<readonly [packages: readonly string[], frameworks: readonly string[]]>([
  [['transformers==5.24.0', 'torch==2.15.0', 'clearml==2.1.12'], ['transformers']],
  [['pytorch_lightning>=2', 'torch'], ['lightning']],
  [['Lightning[extra]==2.6.6'], ['lightning']],
  [['keras==3.15.1', 'jax'], ['keras']],
  [['tensorflow_cpu==2.21.0'], ['keras']],
  [['git+https://github.com/huggingface/transformers@main#egg=transformers'], ['transformers']],
  [['sentence-transformers', 'lightning-utilities', 'keras-core-x', 'torch'], []],
  [['', '# transformers', '-r x.txt', '\u0000'], []],
  [[], []],
])('%j: %j', (packages, frameworks) => {
  expect(findSilentFrameworks(packages)).toEqual(frameworks);
});
