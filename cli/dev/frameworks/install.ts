/**
 * Installs what `npm run test:frameworks` trains with, one environment after the other: the tests' workers would each
 * begin with the same one, of 5 GB.
 *
 * node --import tsx cli/dev/frameworks/install.ts
 */
import { ENVIRONMENTS, prepareEnvironment } from './environments.ts';

for (const name of ENVIRONMENTS) {
  const { versions } = await prepareEnvironment(name);
  process.stderr.write(`${name}: ${Object.keys(versions).length} packages\n`);
}
