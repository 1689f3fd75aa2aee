import { createRequire, Module } from 'node:module';

// undici's HTTP/2 is used only where it is asked for (`allowH2`), which we never do; but it is loaded always, and Node's
// http2 and TLS with it: a quarter of what a program loads before its first request to a server without TLS. So it is
// put off until somebody asks for it. Imported before undici; the build does the same in its way.

const require = createRequire(import.meta.url);
const path = require.resolve('undici/lib/dispatcher/client-h2.js');

function connectH2(...args: unknown[]): unknown {
  delete require.cache[path];
  return (require(path) as typeof connectH2)(...args);
}

require.cache[path] ??= Object.assign(new Module(path), { loaded: true, exports: connectH2 });
