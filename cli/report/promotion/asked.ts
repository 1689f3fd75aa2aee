import type { Options } from '../options.ts';
import type { PromotionQuestion } from './promote.ts';

/**
 * Whether to promote, and for which push: where `--promote` asks for it, and where a run of the collecting workflow reports
 * a push whose settings do. A pull request's model is not promoted before the merge.
 *
 * @returns undefined if not
 */
export function findPromotion({
  flags,
  github,
  config,
  launched,
}: Options): Pick<PromotionQuestion, 'pushed'> | undefined {
  const isAsked = flags.promote === true || (launched !== undefined && config.promote !== undefined);
  const { push, eventName = '' } = github;
  if (!isAsked) return undefined;
  if (eventName === 'push') return push && { pushed: { branch: push.branch, commit: push.commit } };
  const isByHand = launched === undefined && !/^(?:pull_request|merge_group)/.test(eventName);
  return isByHand ? { pushed: undefined } : undefined;
}

/** Whether a person promotes a task, at any time: that says nothing of its commit. */
export function isPromotedByHand(options: Options): boolean {
  const asked = findPromotion(options);
  return asked !== undefined && asked.pushed === undefined && options.target.pullRequest === undefined;
}
