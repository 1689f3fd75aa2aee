import everything from '../../jest.config.js';

/**
 * `npm run test:fast`: what decides, and the sandbox. Left out is what starts a process, a browser or a Python, or
 * computes for a minute: all of `cli/e2e/`, and elsewhere what is called `*.slow.test.ts`.
 *
 * @type {import('jest').Config}
 */
export default {
  ...everything,
  rootDir: '../..',
  testPathIgnorePatterns: [
    ...everything.testPathIgnorePatterns,
    '<rootDir>/cli/e2e/',
    '\\.slow\\.test\\.ts$',
  ],
};
