/**
 * Draws the comment of a first pull request for each framework of templates/FRAMEWORKS.md, and for each state, into a folder:
 * real trainings, run by a real agent, without settings where the case has none.
 *
 * npm run pictures -- FOLDER [CASE…]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pushCommit, trainBase } from '../demo-job.ts';
import { createDemoScreen } from '../demo-screen.ts';
import { prepareStage } from '../demo-stage.ts';
import { prepareEnvironment } from '../frameworks/environments.ts';
import { createScratchRepository } from '../scratch-repository.ts';
import { CASES, type PictureCase } from './cases.ts';
import { drawPictures, hidePaths } from './report-picture.ts';

const [folder, ...named] = process.argv.slice(2);
if (folder === undefined) throw new Error('name the folder that the pictures go to');
const screen = createDemoScreen(process.stderr, process.env);

/** The comment that each commit of the pull request leads to. */
async function makeComments({ environment, files, title, commits, isFirst }: PictureCase): Promise<string[]> {
  const repository = createScratchRepository();
  const cleanups: Array<() => unknown> = [repository.remove];
  try {
    repository.commit('Train', files);
    const { python } = await prepareEnvironment(environment);
    const stage = await prepareStage({
      checkout: repository.directory,
      screen,
      signal: new AbortController().signal,
      record: () => undefined,
      python,
      agents: 1,
      cleanups,
    });
    if (isFirst !== true) await trainBase(stage);
    const comments: string[] = [];
    for (const edits of commits) {
      const pull = { number: 1, branch: 'topic', title };
      comments.push(hidePaths((await pushCommit(stage, pull, title, edits)).comment));
    }
    return comments;
  } finally {
    for (const cleanUp of cleanups.reverse()) await cleanUp();
  }
}

mkdirSync(folder, { recursive: true });
for (const [name, pictureCase] of Object.entries(CASES)) {
  if (named.length > 0 && !named.includes(name)) continue;
  screen.heading(name);
  const comments = await makeComments(pictureCase);
  const pictures = await drawPictures(comments);
  for (const [index, picture] of pictures.entries()) {
    const file = join(folder, `${name}${index === 0 ? '' : `-${index + 1}`}`);
    writeFileSync(`${file}.png`, picture);
    writeFileSync(`${file}.md`, comments[index] ?? '');
  }
}
screen.end();
