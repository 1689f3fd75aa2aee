import everything from '../../jest.config.js';

/**
 * `npm run test:frameworks`: real frameworks in environments of their own, with `WRITE_RECORDINGS=1` the fixtures anew.
 *
 * @type {import('jest').Config}
 */
export default {
  ...everything,
  rootDir: '../..',
  testMatch: ['**/*.frameworks.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxConcurrency: 2,
  // For each, the installation of its environment included.
  testTimeout: 60 * 60_000,
};
