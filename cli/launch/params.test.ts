import { expect, test } from '@jest/globals';
import { groupParams, resolveParams } from './params.ts';

const readFlag = (flag: string) => [...resolveParams([flag], {}).values()];

test.each([
  ['lr=0.5', 'Args/lr', '0.5', undefined],
  ['shuffle:bool=false', 'Args/shuffle', 'false', 'bool'],
  [
    'Transformers/_ignore_hparams_ui_overrides_:bool=False',
    'Transformers/_ignore_hparams_ui_overrides_',
    'False',
    'bool',
  ],
  ['train:click.Command=True', 'Args/train', 'True', 'click.Command'],
  ['Args/train/lr:fire.Arg@train=0.5', 'Args/train/lr', '0.5', 'fire.Arg@train'],
  ['layers:list/int=[3, 4]', 'Args/layers', '[3, 4]', 'list/int'],
  ['url=http://x:1', 'Args/url', 'http://x:1', undefined],
  ['General/url:str=http://x:1?a=b', 'General/url', 'http://x:1?a=b', 'str'],
  ['a:b:str=1', 'Args/a:b', '1', 'str'],
  [' lr : float =1.10', 'Args/lr', '1.10', 'float'],
  ['empty:str=', 'Args/empty', '', 'str'],
])('--param "%s"', (flag, name, value, type) => {
  expect(readFlag(flag)).toEqual([{ name, value, ...(type === undefined ? {} : { type }) }]);
});

test.each(['a:=1', ':bool=1', 'a:b c=1', 'a:b/c=1', 'http://x=1', 'a:1=2'])(
  '--param "%s" is refused: what follows the colon is not a type',
  (flag) => {
    expect(() => readFlag(flag)).toThrow('what follows the colon in its name is not a type');
  },
);

test('a name in the settings may have a colon, and a type stands beside its value', () => {
  const params = resolveParams([], { 'a:b': '1', 'General/flag': { value: 'False', type: 'bool' } });
  expect(groupParams(params)).toEqual({
    Args: { 'a:b': { section: 'Args', name: 'a:b', value: '1' } },
    General: { flag: { section: 'General', name: 'flag', value: 'False', type: 'bool' } },
  });
});

test('a flag replaces a setting with its type, a later flag an earlier one', () => {
  const params = resolveParams(['lr=1', 'lr:float=2'], { 'Args/lr': { value: '3', type: 'int' } });
  expect([...params.values()]).toEqual([{ name: 'Args/lr', value: '2', type: 'float' }]);
  expect([...resolveParams(['lr=1'], { lr: { value: '3', type: 'int' } }).values()]).toEqual([
    { name: 'Args/lr', value: '1' },
  ]);
});
