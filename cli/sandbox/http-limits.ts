/**
 * For a server whose process has little of the machine: Node's own limits end a connection on which no request came
 * for a minute, with 408 and no body, though its process had no time to read it.
 */
export const NO_TIME_LIMITS = { headersTimeout: 0, requestTimeout: 0 } as const;
