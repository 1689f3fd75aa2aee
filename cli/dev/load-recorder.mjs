// Preloaded by a test: appends the URL of every module that is loaded to the file that LOADED_MODULES names, those that
// are required at the end, and `builtin:NAME` of every one of Node's own.
import { appendFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import { pathToFileURL } from 'node:url';

const hooks = `
  import { appendFileSync } from 'node:fs';
  export async function resolve(specifier, context, next) {
    const resolved = await next(specifier, context);
    appendFileSync(process.env.LOADED_MODULES, resolved.url + '\\n');
    return resolved;
  }`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

process.on('exit', () => {
  const required = Object.keys(createRequire(import.meta.url).cache).map((path) => pathToFileURL(path).href);
  appendFileSync(process.env.LOADED_MODULES, required.map((url) => `${url}\n`).join(''));
  const own = process.moduleLoadList.flatMap((entry) => /^NativeModule (.*)/.exec(entry)?.[1] ?? []);
  appendFileSync(process.env.LOADED_MODULES, own.map((name) => `builtin:${name}\n`).join(''));
});
