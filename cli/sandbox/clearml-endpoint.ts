import type { Data } from './clearml-request.ts';
import { type AtGap, type Steps, takeSteps } from './clearml-steps.ts';
import type { Store } from './clearml-store.ts';

/** An API version, as [major, minor]. */
export type ApiVersion = readonly [number, number];

/** The version that clearml-server 2.3.0 has, and serves where none or a higher one is asked for (recordings 029, 033). */
export const newestVersion: ApiVersion = [2, 34];

/** Negative where a is older than b. */
export function compareVersions(a: ApiVersion, b: ApiVersion): number {
  return a[0] - b[0] || a[1] - b[1];
}

/** One request, as the endpoints see it. */
export interface Call {
  readonly store: Store;
  /** The body, or the query where there is no body. */
  readonly data: Data;
  /** The lines of a JSON-lines body. */
  readonly lines: Record<string, unknown>[] | undefined;
  /** The version asked for. */
  readonly version: ApiVersion;
  /** The version of the endpoint that serves it. */
  readonly served: ApiVersion;
  /** The client's X-Clearml-Worker. */
  readonly worker: string | undefined;
  readonly remoteAddress: string;
  /** The bearer token that let the client in, if any. */
  readonly token: string | undefined;
  /** Makes a token for the sandbox's user. */
  readonly createToken: (lifetimeSeconds: number) => string;
  readonly revokeToken: (token: string) => void;
  /** Asked between the steps of a request that has several. */
  readonly atGap: AtGap;
}

/** What an endpoint does; what it returns, or promises, is the reply's `data`. */
export interface Endpoint {
  /** The versions in which the endpoint changed, oldest first: "actual_version" is the newest that is not above the one asked for. */
  readonly versions: readonly [ApiVersion, ...ApiVersion[]];
  /** Works without credentials. */
  readonly open?: boolean;
  /** Roles that may use it, as the refusal names them; the sandbox's user has role `user` (recordings 018, 026, 028). */
  readonly roles?: string;
  handle(call: Call): unknown;
}

/** Endpoints by name, such as "tasks.create". */
export type Endpoints = Readonly<Record<string, Endpoint>>;

/** An endpoint with a single version. */
export function endpoint(version: ApiVersion, handle: (call: Call) => unknown): Endpoint {
  return { versions: [version], handle };
}

/** An endpoint with a single version whose work another request may come into. */
export function steppedEndpoint(version: ApiVersion, handle: (call: Call) => Steps<unknown>): Endpoint {
  return { versions: [version], handle: (call) => takeSteps(handle(call), call.atGap) };
}
