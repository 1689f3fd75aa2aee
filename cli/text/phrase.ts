import { toQuotation } from './quotation.ts';

/**
 * A line of text that separates our words from quotations. Foreign names, ids, messages and numbers are always `code`
 * parts. They become code spans, where Markdown has no meaning and GitHub makes no mentions or links.
 */
export type Phrase = readonly PhrasePart[];

export type PhrasePart =
  | string
  | { readonly code: string }
  | { readonly strong: Phrase }
  /** The address is our own. */
  | { readonly link: string; readonly text: Phrase };

/** Makes a phrase from a template: a text becomes a code part, a number is written as it is, null is left out. */
export function phrase(
  texts: TemplateStringsArray,
  ...values: ReadonlyArray<string | number | Phrase | null | undefined>
): Phrase {
  const parts: PhrasePart[] = [];
  for (const [index, text] of texts.entries()) {
    if (text !== '') parts.push(text);
    const value = values[index];
    if (value === undefined || value === null) continue;
    if (typeof value === 'number') parts.push(String(value));
    else if (typeof value === 'string') parts.push({ code: value });
    else parts.push(...value);
  }
  return parts;
}

/** Our own words as a phrase, not quoted. */
export function words(text: string): Phrase {
  return text === '' ? [] : [text];
}

/** Bold; a text is in our own words. */
export function strong(text: string | Phrase): Phrase {
  return [{ strong: typeof text === 'string' ? words(text) : text }];
}

/** A link, if there is an address, which must be our own; a text is in our own words. */
export function link(address: string | null, text: string | Phrase): Phrase {
  const shown = typeof text === 'string' ? words(text) : text;
  return address === null ? shown : [{ link: address, text: shown }];
}

/** Joins phrases with a separator, leaving out empty ones. */
export function joinPhrases(phrases: readonly Phrase[], separator: string): Phrase {
  return phrases
    .filter((one) => one.length > 0)
    .flatMap((one, index) => (index === 0 ? one : [separator, ...one]));
}

/** The phrase as one line for a log, without Markdown. */
export function writePlain(phrase: Phrase): string {
  const texts = phrase.map((part) => {
    if (typeof part === 'string') return part.replaceAll('\u00a0', ' ');
    if ('code' in part) return toQuotation(part.code);
    return writePlain('strong' in part ? part.strong : part.text);
  });
  return texts.join('');
}
