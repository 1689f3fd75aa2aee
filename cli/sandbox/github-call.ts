import type { Operation } from './github-description.ts';
import type { TokenHolder } from './github-tokens.ts';

/** What goes back; without a body nothing but the status and headers. */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that the description found nothing wrong with. */
export interface Call {
  readonly operation: Operation;
  readonly values: Readonly<Record<string, string | number>>;
  readonly body: Record<string, unknown>;
  readonly holder: TokenHolder;
  readonly repositoryId: number;
  /** The request's own path and query, for the Link header. */
  readonly url: URL;
}

/** Answers the calls of one operation. A refusal is thrown. */
export type Handler = (call: Call) => Answer | Promise<Answer>;

/** By the operation's id, for example `issues/create-comment`. */
export type Handlers = Readonly<Record<string, Handler>>;

const PAGE_MAX = 100;
const PAGE_DEFAULT = 30;

/** The page that was asked for. GitHub cuts a page to 100 items without a word. */
export function pageOf({ values }: Call): { page: number; perPage: number } {
  return {
    page: Math.max(1, Number(values.page ?? 1)),
    perPage: Math.min(PAGE_MAX, Number(values.per_page ?? PAGE_DEFAULT) || PAGE_DEFAULT),
  };
}

/** The Link header of a list of `total` items. GitHub's links lead to the repository's number, not to its name. */
export function linkHeader(call: Call, total: number): Record<string, string> {
  const { page, perPage } = pageOf(call);
  const last = Math.max(1, Math.ceil(total / perPage));
  const link = (number: number, rel: string): string => {
    const url = new URL(call.url);
    url.pathname = url.pathname.replace(
      /^(.*?)\/repos\/[^/]+\/[^/]+/,
      `$1/repositories/${call.repositoryId}`,
    );
    url.searchParams.set('page', String(number));
    return `<${url.href}>; rel="${rel}"`;
  };
  const links = [
    ...(page > 1 ? [link(Math.min(page - 1, last), 'prev')] : []),
    ...(page < last ? [link(page + 1, 'next'), link(last, 'last')] : []),
    ...(page > 1 ? [link(1, 'first')] : []),
  ];
  return links.length === 0 ? {} : { link: links.join(', ') };
}

/** The page of a list that the call asks for. */
export async function answerPage<T>(
  call: Call,
  all: readonly T[],
  toDocument: (item: T) => unknown | Promise<unknown>,
): Promise<Answer> {
  const { page, perPage } = pageOf(call);
  const items = all.slice((page - 1) * perPage, page * perPage);
  return {
    status: 200,
    body: await Promise.all(items.map(toDocument)),
    headers: linkHeader(call, all.length),
  };
}
