import { createRequire } from 'node:module';
import type * as undici from 'undici';
import './undici-http2.ts';

// Two files of undici instead of all of it: half the start-up of a program was loading its fetch, caches and mocks.
// By require, since an import has Node look through all of a CommonJS package for names, and under tsx asks another
// thread for every file: a tenth of a start there. package.json pins the version: the paths are not undici's API.
const require = createRequire(import.meta.url);

/** A pool of connections a server. */
export const Agent = require('undici/lib/dispatcher/agent.js') as typeof undici.Agent;

/** undici's `request`, as a method of the dispatcher that carries it. */
export const request = require('undici/lib/api/api-request.js') as (
  this: undici.Dispatcher,
  options: undici.Dispatcher.RequestOptions & { readonly origin: string },
) => Promise<undici.Dispatcher.ResponseData>;

/** Loads the agent that goes through proxies. */
export function loadProxyAgent(): typeof undici.EnvHttpProxyAgent {
  // Its tunnels call a method that else only undici's index puts on the dispatchers.
  const connect = require('undici/lib/api/api-connect.js') as undici.Dispatcher['connect'];
  const { prototype } = require('undici/lib/dispatcher/dispatcher.js') as typeof undici.Dispatcher;
  Object.assign(prototype, { connect });
  return require('undici/lib/dispatcher/env-http-proxy-agent.js') as typeof undici.EnvHttpProxyAgent;
}
