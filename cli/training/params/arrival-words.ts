import { joinPhrases, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import type { Arrival } from './arrival.ts';

/** Further params are counted. */
const MAX_LISTED = 5;

/** Those of the params that did not reach the training. */
export function listLost(arrivals: readonly Arrival[]): Arrival[] {
  return arrivals.filter(({ state }) => state !== 'kept');
}

/** Says what became of params that did not reach the training; empty without any. */
export function composeLosses(lost: readonly Arrival[]): Phrase {
  const shown = lost.slice(0, MAX_LISTED);
  const more = lost.length - shown.length;
  return joinPhrases(
    [
      ...shown.filter(({ state }) => state === 'overwritten').map(composeOverwritten),
      ...shown.flatMap(({ name, state, near }) =>
        state === 'undeclared' && near !== undefined ? [composeMisnamed(name, near)] : [],
      ),
      composeUndeclared(shown.filter(({ state, near }) => state === 'undeclared' && near === undefined)),
      words(more === 0 ? '' : `The same is true of ${more} more.`),
    ],
    ' ',
  );
}

function composeOverwritten({ name, given, value }: Arrival): Phrase {
  const held = value === null ? words('nothing') : phrase`${value}`;
  return phrase`${strong(phrase`${shorten(name)} was overwritten`)}: the launch gave ${given}, and the task holds ${held}.`;
}

/** A name may be one of several in the section, so that this is no more than likely. */
function composeMisnamed(name: string, near: string): Phrase {
  const isSameSection = name.startsWith('Args/') && near.startsWith('Args/');
  const [own, other] = isSameSection ? [shorten(name), shorten(near)] : [name, near];
  return phrase`${strong(phrase`${own} did not reach the training`)}, it seems: the training declares ${other}.`;
}

function composeUndeclared(params: readonly Arrival[]): Phrase {
  if (params.length === 0) return [];
  const names = joinPhrases(
    params.map(({ name }) => phrase`${shorten(name)}`),
    ', ',
  );
  const it = params.length === 1 ? 'it' : 'them';
  return phrase`${strong(phrase`Nothing shows that ${names} reached the training`)}: nothing in its task declared ${words(it)}. (${'task.get_parameter'}, click, jsonargparse, and argparse or ${'task.connect'} with everything given leave no trace there.)`;
}

function shorten(name: string): string {
  return name.replace(/^Args\//, '');
}
