import { findDecisive } from '../metrics.ts';
import type { Report } from '../report.ts';

/** What later steps and jobs get of a report. */
export function composeOutputs(report: Report): Readonly<Record<string, string>> {
  const { promotion } = report;
  const model = promotion?.model ?? report.tasks[0]?.outputModels.at(-1);
  // A training may name anything as its model; the address is made of an id only.
  const url = model?.url ?? '';
  return {
    verdict: report.verdict,
    metrics: formatMetrics(report),
    'model-id': url === '' ? '' : (model?.id ?? ''),
    'model-url': url,
    ...(promotion === null ? {} : { promoted: String(promotion.promoted) }),
  };
}

/** A job's outputs hold 1 MB in all. */
const MAX_METRICS = 1000;

function formatMetrics({ metrics, gate }: Report): string {
  const judgements = new Map(gate?.metrics.map((judgement) => [judgement.metric, judgement]));
  return JSON.stringify(
    metrics.slice(0, MAX_METRICS).map(({ metric, value, baseline, change, verdict }) => {
      const judgement = judgements.get(metric);
      const { base = null, change: judged = null } = (judgement && findDecisive(judgement)) ?? {};
      return { metric, value, baseline: base ?? baseline, change: judged ?? change, verdict };
    }),
  );
}
