import { expect, test } from '@jest/globals';
import type { TreeEntry } from '../github/git.ts';

import { findProgramProblem } from './program-file.ts';

const COMMIT = 'c'.repeat(40);
const TREE = [
  ['100644', 'train_model.py'],
  ['100755', 'models/digits/train.py'],
  ['120000', 'latest'],
  ['160000', 'vendor/lib'],
].map(([mode = '', path = '']): TreeEntry => ({ mode, path, objectId: '0' }));

/** A commit that is in the checkout, as git tells of it. */
const reader = {
  listTree: async () => TREE,
  readPath: async (_: string, path: string) => {
    const parts = path.split('/');
    return parts.flatMap((_part, index): TreeEntry[] => {
      const prefix = parts.slice(0, index + 1).join('/');
      const entry = TREE.find((other) => other.path === prefix);
      const isFolder = TREE.some((other) => other.path.startsWith(`${prefix}/`));
      return entry !== undefined
        ? [entry]
        : isFolder
          ? [{ mode: '040000', objectId: '0', path: prefix }]
          : [];
    });
  },
};

const find = (
  workingDir: string,
  entryPoint: string,
  diff = '',
  from: Parameters<typeof findProgramProblem>[2] = reader,
) => findProgramProblem({ workingDir, entryPoint }, { commit: COMMIT, diff }, from);

test.each([
  ['a file at the root', '.', 'train_model.py'],
  ['a file in the working directory', 'models/digits', 'train.py'],
  ['a file below the working directory', 'models', 'digits/train.py'],
  ['a module', '.', '-m models.digits.train'],
  ['a module in a folder', 'models', '-m digits.train --fast'],
  ['a file with arguments', 'models/digits', 'train.py fit --data s3://x/y.py'],
  [
    'a script of a launcher',
    '.',
    '-m torch.distributed.run --nproc-per-node 2 ./models/digits/train.py --x 1',
  ],
  ['a module of a launcher', '.', '-m torch.distributed.run --nproc-per-node 2 -m models.digits.train'],
  ['another module with a script', '.', '-m pkg.tool other.py'],
  ['a script that a variable names', '.', '-m torch.distributed.run $DIR/other.py'],
  ['a script in quotes', '.', '-m torch.distributed.run "my other.py"'],
  ['a name with blanks', '.', 'my other'],
  ['what is behind a link', 'latest', 'train.py'],
  ['what is in a submodule', 'vendor/lib/deep', 'train.py'],
])('%s is no problem', async (_, workingDir, entryPoint) => {
  expect(await find(workingDir, entryPoint)).toBeUndefined();
});

test.each([
  ['a misspelt file', '.', 'train_modle.py', 'file "train_modle.py"', 'nearest: "train_model.py"'],
  ['another case', '.', 'Train_Model.py', 'file "Train_Model.py"', 'nearest: "train_model.py"'],
  ['a file of another folder', '.', 'train.py', 'file "train.py"', 'nearest: "models/digits/train.py"'],
  [
    'a file before arguments',
    '.',
    'train_modle.py fit',
    'file "train_modle.py"',
    'nearest: "train_model.py"',
  ],
  [
    'a script of a launcher',
    'models/digits',
    '-m torch.distributed.run --nproc-per-node=2 trian.py --lr 1',
    'file "models/digits/trian.py"',
    'nearest: "models/digits/train.py"',
  ],
  [
    'a script of accelerate',
    '.',
    '-m accelerate.commands.launch train_modle.py',
    'file "train_modle.py"',
    'nearest: "train_model.py"',
  ],
  ['a folder for a file', '.', 'models', 'file "models"', '--entry-point'],
  ['a misspelt folder', 'models/digit', 'train.py', 'folder "models/digit"', 'nearest: "models/digits"'],
  ['a file for a folder', 'train_model.py', 'train.py', 'folder "train_model.py"', '--working-dir'],
  ['a folder of a module', 'nowhere', '-m train', 'folder "nowhere"', '--working-dir'],
])('%s is missing, and what is near is named', async (_, workingDir, entryPoint, what, near) => {
  const problem = await find(workingDir, entryPoint);
  expect(problem).toContain(`commit cccccccccc has no ${what}: the training would fail at its start`);
  expect(problem).toContain(near);
});

test('what cannot be the program, since its name ends otherwise, is not near', async () => {
  const readme = { mode: '100644', path: 'train.md', objectId: '0' };
  const problem = await find('.', 'train_modle.py', '', {
    ...reader,
    listTree: async () => [...TREE, readme],
  });
  expect(problem).toContain('nearest: "train_model.py", "models/digits/train.py". Correct --entry-point');
});

test('nothing is said where uncommitted changes may add it, or the commit cannot be read here', async () => {
  expect(await find('.', 'new.py', 'diff --git a/new.py b/new.py\n')).toBeUndefined();
  const elsewhere = { listTree: async () => undefined, readPath: async () => undefined };
  expect(await find('.', 'new.py', '', elsewhere)).toBeUndefined();
});
