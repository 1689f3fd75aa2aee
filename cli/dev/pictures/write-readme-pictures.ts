/**
 * Makes the README's pictures. A base branch with a gate and three pull requests (one is not worse, one is, one breaks the
 * training) go through the three programs, with real agents and trainings. Their comments are drawn as GitHub shows them.
 *
 * node --import tsx cli/dev/pictures/write-readme-pictures.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mergePullRequest, pushToPullRequest } from '../demo-job.ts';
import { BREAKING_EDIT, editDefault, GATE_EDIT, SEEDS_EDIT } from '../demo-repository.ts';
import { createDemoScreen } from '../demo-screen.ts';
import { prepareStage } from '../demo-stage.ts';
import { drawPictures, hidePaths } from './report-picture.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const ASSETS = join(ROOT, '.github', 'assets');

const GATE = { number: 1, branch: 'gate-the-accuracy', title: 'Gate the test accuracy' };
const PICTURES = [
  {
    file: 'comment-completed.png',
    pull: { number: 2, branch: 'regularise', title: 'Regularise more' },
    edit: editDefault('weight_decay', 0.1),
  },
  {
    file: 'comment-regression.png',
    pull: { number: 3, branch: 'lower-learning-rate', title: 'Lower the learning rate' },
    edit: editDefault('learning_rate', 0.002),
  },
  {
    file: 'comment-failed.png',
    pull: { number: 4, branch: 'rename-param', title: 'Rename a param' },
    edit: BREAKING_EDIT,
  },
] as const;

const cleanups: Array<() => unknown> = [];
try {
  const screen = createDemoScreen(process.stderr, process.env);
  const stage = await prepareStage({
    checkout: ROOT,
    screen,
    signal: new AbortController().signal,
    record: () => undefined,
    cleanups,
  });
  await pushToPullRequest(stage, GATE, GATE.title, [GATE_EDIT, SEEDS_EDIT]);
  await mergePullRequest(stage, GATE);
  const comments: string[] = [];
  for (const { pull, edit } of PICTURES)
    comments.push((await pushToPullRequest(stage, pull, pull.title, [edit])).comment);
  const pictures = await drawPictures(comments.map(hidePaths));
  mkdirSync(ASSETS, { recursive: true });
  for (const [index, { file }] of PICTURES.entries()) {
    const picture = pictures[index];
    if (picture !== undefined) writeFileSync(join(ASSETS, file), picture);
  }
} finally {
  for (const cleanUp of cleanups.reverse()) await cleanUp();
}
