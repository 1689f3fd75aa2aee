import type { MetricJudgement } from '../../gate/data.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import { composeGateWords, type GateRow } from '../gate-table.ts';
import type { Promotion } from './promote.ts';

/** Further metrics are in the report. */
const MAX_METRICS = 3;

/** The outcome in a few words, and why: for the job summary, the log and the pull request's comment. */
export function composePromotion(promotion: Promotion): Phrase {
  if (promotion.tag === null) return words('Nothing is promoted: the settings have no promote.');
  return joinPhrases([composeHead(promotion), ...composeReason(promotion)], ' ');
}

function composeHead({ tag, promoted, reason, published, model, task }: Promotion): Phrase {
  if (!promoted) return reason === 'pending' ? strong('Not promoted yet.') : strong('Not promoted.');
  const kept = reason === 'unchanged' ? words('still carries') : words('carries');
  const shown = published ? words(' and is published') : [];
  return phrase`${strong('Promoted.')} The ${link(model?.url ?? null, phrase`model ${shorten(model)}`)} of ${link(task?.url ?? null, phrase`task ${shorten(task)}`)} ${kept} the tag ${tag}${shown}.`;
}

/** As ClearML's pages show an id. */
function shorten(of: { readonly id: string } | null): string | undefined {
  return of?.id.slice(0, 8);
}

/** Sentences, each in plain words. */
function composeReason(promotion: Promotion): Phrase[] {
  const { tag, commit, branch, former, metrics, task } = promotion;
  const short = commit?.slice(0, 10);
  const production = former === null ? [] : link(former.url, phrase`task ${former.id}`);
  const back =
    former === null || !promotion.promoted
      ? []
      : phrase`The way back is ${production}: its model carries ${`${tag}-previous`}.`;
  switch (promotion.reason) {
    case 'off':
      return [];
    case 'first':
      return [words('No completed task of this pipeline carried it, so nothing was compared.')];
    case 'not-gated':
      return [words('No metric is gated, so nothing was compared.'), back];
    case 'passed':
      return [words('The gate finds it no worse than the model before.'), back];
    case 'by-hand':
      return [words('A person named it; the gate was not asked.'), back];
    case 'unchanged':
      return [];
    case 'dry-run':
      return [words('This is a dry run, which moves no tag. As far as it shows, the tag would move.')];
    case 'pending':
      return [words('The training has not ended.')];
    case 'failed':
      return [words('The training did not complete.')];
    case 'archived':
      return [phrase`The ${link(task?.url ?? null, phrase`task ${shorten(task)}`)} is archived.`];
    case 'no-model':
      return [
        phrase`The ${link(task?.url ?? null, phrase`task ${shorten(task)}`)} has no output model in ClearML, or its last one is archived.`,
      ];
    case 'other-code':
      return [phrase`These tasks are not known to train ${short}, which was pushed to ${branch}.`];
    case 'regression':
      return [
        phrase`The gate finds it worse than the production model of ${production}.`,
        ...listRows(metrics, 'regression'),
      ];
    case 'undecided':
      return [
        phrase`The gate can’t say whether it is worse than the production model of ${production}.`,
        ...listRows(metrics, 'undecided'),
      ];
    case 'older':
      return [phrase`Commit ${short} is older than the one in production, ${production}.`];
    case 'not-on-branch':
      return [phrase`Commit ${short} is not among the newest 100 commits of ${branch}.`];
    case 'overtaken':
      return [phrase`A newer commit of ${branch}, or a newer training of this one, carries the tag.`];
  }
}

/** The gated metrics that object, in the gate's words. */
function listRows(metrics: readonly MetricJudgement[], verdict: 'regression' | 'undecided'): Phrase[] {
  return metrics
    .filter((metric) => metric.gate === 'fail' && metric.verdict === verdict)
    .slice(0, MAX_METRICS)
    .map((metric) => composeGateWords(toRow(metric, verdict)));
}

function toRow(metric: MetricJudgement, verdict: string): GateRow {
  const [first] = metric.comparisons;
  return { metric, comparison: metric.comparisons.find((one) => one.verdict === verdict) ?? first };
}
