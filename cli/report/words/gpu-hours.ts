import { formatNumber } from '../../text/number-format.ts';
import { type Phrase, words } from '../../text/phrase.ts';
import type { ReportTask } from '../report.ts';

const SMALLEST = 0.01;

/** `2.4 GPU hours for these 3 trainings`; empty if one of them is unknown, or none has used a GPU. */
export function composeGpuHours(tasks: readonly ReportTask[]): Phrase {
  const hours = tasks.map(({ gpuHours }) => gpuHours ?? Number.NaN);
  const sum = hours.reduce((total, one) => total + one, 0);
  if (Number.isNaN(sum) || sum === 0) return [];
  const count = sum < SMALLEST ? `less than ${SMALLEST}` : formatNumber(sum, 2);
  const unit = count === '1' ? 'GPU hour' : 'GPU hours';
  const of = tasks.length === 1 ? '' : ` for these ${tasks.length} trainings`;
  const isUnderWay = tasks.some(({ endedAtMs }) => endedAtMs === null);
  return words(`${count} ${unit}${of}${isUnderWay ? ' so far' : ''}`);
}
