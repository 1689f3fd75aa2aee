/**
 * A line of text that keeps apart what we say and what we quote: names, ids, messages and numbers from elsewhere stand
 * only in `code` parts, which become code spans, where Markdown has no meaning and GitHub makes no mentions or links.
 */
export type Phrase = readonly PhrasePart[];

export type PhrasePart =
  | string
  | { readonly code: string }
  | { readonly strong: Phrase }
  /** The address is one we made ourselves. */
  | { readonly link: string; readonly text: Phrase };

/**
 * Makes a phrase of a template: a text that is filled in is a quotation and becomes code, a number is written as it is,
 * a phrase or a part is joined in.
 */
export function phrase(
  texts: TemplateStringsArray,
  ...values: ReadonlyArray<string | number | Phrase | PhrasePart>
): Phrase {
  const parts: PhrasePart[] = [];
  for (const [index, text] of texts.entries()) {
    if (text !== '') parts.push(text);
    const value = values[index];
    if (value === undefined || index >= values.length) continue;
    if (typeof value === 'number') parts.push(String(value));
    else if (typeof value === 'string') parts.push({ code: value });
    else if (isPhrase(value)) parts.push(...value);
    else parts.push(value);
  }
  return parts;
}

/** Our own words as a part to fill in: not quoted. */
export function words(text: string): Phrase {
  return text === '' ? [] : [text];
}

/** Joins phrases with a separator, leaving out empty ones. */
export function joinPhrases(phrases: readonly Phrase[], separator: string): Phrase {
  return phrases
    .filter((one) => one.length > 0)
    .flatMap((one, index) => (index === 0 ? one : [separator, ...one]));
}

/** The phrase without any marks, for places that show plain text. */
export function toPlainText(parts: Phrase): string {
  return parts
    .map((part) => {
      if (typeof part === 'string') return part;
      if ('code' in part) return part.code;
      return toPlainText('strong' in part ? part.strong : part.text);
    })
    .join('');
}

function isPhrase(value: Phrase | PhrasePart): value is Phrase {
  return Array.isArray(value);
}
