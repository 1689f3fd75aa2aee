/** What a refusal carries besides its message. */
export interface RefusalDetails {
  readonly errors?: ReadonlyArray<Readonly<Record<string, string>>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Default: the page of the operation. */
  readonly documentationUrl?: string | undefined;
}

/** A refusal as GitHub words it; the server makes the answer of it. */
export class Refusal extends Error {
  readonly status: number;
  readonly details: RefusalDetails;

  constructor(status: number, message: string, details: RefusalDetails = {}) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

export const notFound = (): Refusal => new Refusal(404, 'Not Found');

/** A write to an archived repository. */
export const archived = (): Refusal => new Refusal(403, 'Repository was archived so is read-only.');

/** How the secondary rate limit answers a request; the primary limit has requests left all the while. */
export interface SecondaryLimit {
  /** GitHub uses both; default 403. */
  readonly status?: 403 | 429;
  /** Left out there is no Retry-After, as is often so: a client waits a minute at least. */
  readonly retryAfterSeconds?: number;
}

/** The refusal of docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, "About secondary rate limits". */
export function secondaryLimitRefusal({ status = 403, retryAfterSeconds }: SecondaryLimit): Refusal {
  return new Refusal(
    status,
    'You have exceeded a secondary rate limit. Please wait a few minutes before you try again. ' +
      'If you reach out to GitHub Support for help, please include the request ID 0400:1C5F:1A2B3C:2D3E4F:65A1B2C3.',
    {
      documentationUrl:
        'https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits',
      ...(retryAfterSeconds !== undefined && { headers: { 'retry-after': String(retryAfterSeconds) } }),
    },
  );
}
