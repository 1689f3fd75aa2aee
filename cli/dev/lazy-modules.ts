import { readdirSync, readFileSync } from 'node:fs';

const ROOMS = ['launch', 'check', 'report', 'gate', 'clearml', 'training', 'github', 'shell', 'text'];

let loading: Promise<void> | undefined;

/**
 * Loads the product's lazy modules, one after the other. A test with a simulated clock calls this first: its clock does
 * not see the loading of a module. Jest's module loader also fails on two first imports at the same time.
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
