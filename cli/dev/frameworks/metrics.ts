import type { EnvironmentName } from './environments.ts';

/** A training whose metrics are recorded: a file of `trainings/`. */
export interface MetricsCase {
  readonly environment: EnvironmentName;
  /** Arguments of Python, where it takes more than the file. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the framework reports about the run and not about the model; a pattern of `title/series`. */
  readonly bookkeeping?: RegExp;
}

const TRANSFORMERS =
  /^(?:train\/(?:grad_norm|learning_rate|epoch|total_flos|train_runtime|train_samples_per_second|train_steps_per_second)|eval\/(?:runtime|samples_per_second|steps_per_second)|Summary\/(?:total_flos|train_runtime|train_samples_per_second|train_steps_per_second|epoch))$/;
const trainTransformers = (...reportTo: readonly string[]): MetricsCase => ({
  environment: 'torch',
  command: ['transformers-trainer.py', ...reportTo],
});
const LIGHTNING = /^(?:epoch\/epoch|hp_metric\/hp_metric|lr\/lr)$/;
const FASTAI = /^(?:eps|lr|mom|sqr_mom|wd|model_stats_gradients(?:_num_zeros)?)_\d+\//;
const ULTRALYTICS = /^(?:lr\/|Epoch Time\/|Summary\/model\/)/;
/** Where the backend is tensorflow, nothing needs to be imported. */
const KERAS = { environment: 'keras', env: { KERAS_BACKEND: 'jax' } } as const;

export const METRICS: Readonly<Record<string, MetricsCase>> = {
  'lightning-tensorboard': {
    environment: 'torch',
    command: ['lightning-trainer.py', 'TensorBoardLogger'],
    bookkeeping: LIGHTNING,
  },
  'lightning-csv': { environment: 'torch', command: ['lightning-trainer.py', 'CSVLogger'] },
  'transformers-clearml': { ...trainTransformers('clearml'), bookkeeping: TRANSFORMERS },
  'transformers-tensorboard': { ...trainTransformers('tensorboard'), bookkeeping: TRANSFORMERS },
  'transformers-all': { ...trainTransformers('all'), bookkeeping: TRANSFORMERS },
  'transformers-default': trainTransformers(),
  'torch-tensorboard': {
    environment: 'torch',
    command: ['tensorboard-writer.py', 'torch.utils.tensorboard'],
  },
  tensorboardx: { environment: 'torch', command: ['tensorboard-writer.py', 'tensorboardX'] },
  'ignite-logger': { environment: 'torch', bookkeeping: /^lr\// },
  'two-ranks': {
    environment: 'torch',
    command: ['-m', 'torch.distributed.run', '--nproc-per-node', '2', 'two-ranks.py'],
  },
  'two-ranks-first-only': {
    environment: 'torch',
    command: ['-m', 'torch.distributed.run', '--nproc-per-node', '2', 'two-ranks-first-only.py'],
  },
  'logger-heard': { environment: 'torch' },
  'logger-muted': { environment: 'torch' },
  'xgboost-train': { environment: 'torch' },
  'lightgbm-train': { environment: 'torch' },
  'catboost-train': { environment: 'torch' },
  'keras-callback': { ...KERAS, bookkeeping: /^(?:epoch_learning_rate\/|evaluation_\w+_vs_iterations\/)/ },
  'keras-without-tensorflow': KERAS,
  'keras-plain': KERAS,
  'fastai-learner': { environment: 'vision', bookkeeping: FASTAI },
  'fastai-tensorboard': {
    environment: 'vision',
    command: ['fastai-learner.py', 'tensorboard'],
    bookkeeping: FASTAI,
  },
  'ultralytics-train': { environment: 'vision', bookkeeping: ULTRALYTICS },
  optimizer: { environment: 'torch', bookkeeping: /^(?:remaining budget|resources)\// },
};
