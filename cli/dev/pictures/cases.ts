import { readFileSync } from 'node:fs';
import type { DemoEdit } from '../demo-repository.ts';
import type { EnvironmentName } from '../frameworks/environments.ts';
import { listCode } from '../frameworks/page.ts';

/** A repository and its first pull request: what the comment looks like that a reviewer gets. */
export interface PictureCase {
  readonly environment: EnvironmentName;
  /** Of the base branch, by path. The training is `train_model.py`. */
  readonly files: Readonly<Record<string, string>>;
  readonly title: string;
  /** What the pull request changes, commit by commit. */
  readonly commits: ReadonlyArray<readonly DemoEdit[]>;
  /** The base branch was never trained. */
  readonly isFirst?: boolean;
}

const read = (path: string) => readFileSync(new URL(`../frameworks/${path}`, import.meta.url), 'utf8');
const readPage = (heading: string) => listCode(`### ${heading}`, 'python')[0] ?? '';
const edit = (from: RegExp, to: string): DemoEdit => ({ file: 'train_model.py', from, to });

/** Recall of sixty classes, as an evaluation loop reports it. */
const CLASSES = `import random
from clearml import Task

params = Task.init(project_name="digits", task_name="train").connect({"weight": 1.0, "seed": 0})
noise = random.Random(params["seed"])
logger = Task.current_task().get_logger()
for epoch in range(5):
    for index in range(60):
        recall = 0.9 + noise.uniform(-0.01, 0.01) - 0.3 / (epoch + 1)
        # A class without weight in the loss is not learned.
        recall *= params["weight"] if index == 17 else 1
        logger.report_scalar("recall", f"class_{index:02}", recall, epoch)
    logger.report_scalar("loss", "validation", 1 / (epoch + 2) + noise.uniform(-0.001, 0.001), epoch)
    logger.report_scalar("lr", "lr", 0.1 / (epoch + 1), epoch)
`;

/** One curve, with a noise that the seed decides. */
const SEEDED = `import random
from clearml import Task

params = Task.init(project_name="digits", task_name="train").connect({"bonus": 0.0, "seed": 0})
noise = random.Random(str(params))
logger = Task.current_task().get_logger()
for epoch in range(12):
    accuracy = 0.9 - 0.5 / (epoch + 1) + params["bonus"] + noise.uniform(-0.006, 0.006)
    logger.report_scalar("accuracy", "validation", accuracy, epoch)
    logger.report_scalar("loss", "validation", 1 - accuracy, epoch)
`;
const GATE = `metrics:
  - metric: accuracy/validation
    goal: maximize
    gate: fail
`;
const SETTINGS = '.github/clearml-ci.yml';
const withSeeds = (more = '') => `${GATE}seeds: 3\nseed-param: General/seed\n${more}`;
const WORSE = edit(/"bonus": 0\.0/, '"bonus": -0.05');

export const CASES: Readonly<Record<string, PictureCase>> = {
  'sixty-classes': {
    environment: 'front-ends',
    files: { 'train_model.py': CLASSES },
    title: 'Weigh class 17 less',
    commits: [[edit(/"weight": 1\.0/, '"weight": 0.1')]],
  },
  lightning: {
    environment: 'torch',
    files: { 'train_model.py': readPage('Lightning') },
    title: 'Raise the learning rate',
    commits: [[edit(/"lr": 0\.001/, '"lr": 0.01')]],
  },
  transformers: {
    environment: 'torch',
    files: { 'train_model.py': readPage('Transformers') },
    title: 'Raise the learning rate',
    commits: [[edit(/"learning_rate": 5e-5/, '"learning_rate": 5e-3')]],
  },
  xgboost: {
    environment: 'torch',
    files: { 'train_model.py': readPage('XGBoost') },
    title: 'Learn more slowly',
    commits: [[edit(/"eta": 0\.3/, '"eta": 0.05')]],
  },
  keras: {
    environment: 'keras',
    files: { 'train_model.py': read('trainings/keras-callback.py') },
    title: 'Use a wider layer',
    commits: [[edit(/Dense\(4,/, 'Dense(64,')]],
  },
  ultralytics: {
    environment: 'vision',
    files: {
      'train_model.py': read('trainings/ultralytics-train.py'),
      'squares.py': read('shared/squares.py'),
    },
    title: 'Train for longer',
    commits: [[edit(/epochs=3/, 'epochs=12')]],
  },
  'first-day': {
    environment: 'front-ends',
    files: { 'train_model.py': SEEDED, [SETTINGS]: GATE },
    title: 'Add the pipeline',
    commits: [[edit(/range\(12\)/, 'range(11)')]],
    isFirst: true,
  },
  undecided: {
    environment: 'front-ends',
    files: { 'train_model.py': SEEDED, [SETTINGS]: GATE },
    title: 'Train a little shorter',
    commits: [[edit(/range\(12\)/, 'range(11)')]],
  },
  'three-seeds': {
    environment: 'front-ends',
    files: { 'train_model.py': SEEDED, [SETTINGS]: withSeeds() },
    title: 'Lower the bonus',
    commits: [[WORSE]],
  },
  recreate: {
    environment: 'front-ends',
    files: { 'train_model.py': SEEDED, [SETTINGS]: withSeeds('comment: recreate\n') },
    title: 'Lower the bonus, and take it back',
    commits: [[WORSE], [edit(/"bonus": -0\.05/, '"bonus": 0.001')]],
  },
};
