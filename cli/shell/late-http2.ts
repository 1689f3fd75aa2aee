import { createRequire, Module } from 'node:module';

// undici loads its HTTP/2 client, and Node's http2, TLS and crypto with it, though we never ask for it: a tenth of a start.
// So it is put off until somebody does. Imported before undici; the build does the same in its way (dev/bundle.ts).

const require = createRequire(import.meta.url);
const path = require.resolve('undici/lib/dispatcher/client-h2.js');
require.cache[path] ??= Object.assign(new Module(path), { loaded: true, exports: connectHttp2 });

function connectHttp2(...args: unknown[]): unknown {
  delete require.cache[path];
  return (require(path) as typeof connectHttp2)(...args);
}
