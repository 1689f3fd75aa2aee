import { readdirSync, readFileSync } from 'node:fs';

const ROOMS = ['launch', 'check', 'report', 'gate', 'clearml', 'training', 'github', 'shell', 'text'];

let loading: Promise<void> | undefined;

/**
 * Loads, one after the other, all that the product imports only where a path needs it. A test whose time jumps calls
 * this first: a module that is being loaded and compiled is work that nobody can see. And Jest's module loader trips
 * over two first imports at the same time; programs in processes of their own do not share one.
 */
export function loadLazyModules(): Promise<void> {
  loading ??= load();
  return loading;
}

async function load(): Promise<void> {
  for (const room of ROOMS) {
    const directory = new URL(`../${room}/`, import.meta.url);
    for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(?<!\.test|\.d)\.ts$/.test(name),
    )) {
      const source = new URL(file, directory);
      for (const [, name = ''] of readFileSync(source, 'utf8').matchAll(/\bimport\('([^']+)'\)/g)) {
        await import(name.startsWith('.') ? new URL(name, source).href : name);
      }
    }
  }
}
