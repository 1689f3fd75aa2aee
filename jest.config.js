/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/cli'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'es6' },
      },
    ],
  },
  // A test that forgets to close a server should be told so, not killed.
  forceExit: false,
  maxWorkers: 2,
  testSequencer: './cli/dev/longest-first.mjs',
  // Tests that start processes take a second or two each, and several times that on a busy machine.
  testTimeout: 30_000,
};
