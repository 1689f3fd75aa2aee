// Preloaded by a test: appends the URL of every module that is loaded to the file that LOADED_MODULES names, and at the
// end `builtin:NAME` of every one of Node's own.
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';

const hooks = `
  import { appendFileSync } from 'node:fs';
  export async function resolve(specifier, context, next) {
    const resolved = await next(specifier, context);
    appendFileSync(process.env.LOADED_MODULES, resolved.url + '\\n');
    return resolved;
  }`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

process.on('exit', () => {
  const own = process.moduleLoadList.flatMap((entry) => /^NativeModule (.*)/.exec(entry)?.[1] ?? []);
  appendFileSync(process.env.LOADED_MODULES, own.map((name) => `builtin:${name}\n`).join(''));
});
