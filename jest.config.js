/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/cli'],
  // `npm run test:frameworks` installs what they take.
  testPathIgnorePatterns: ['/node_modules/', '\\.frameworks\\.test\\.ts$'],
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
  // The default, half a second, is less than a worker with hundreds of files behind it takes to end: Jest would speak of a leak.
  workerGracefulExitTimeout: 30_000,
  testSequencer: './cli/dev/longest-first.mjs',
  // The only limit of a test or a hook. It ends what hangs: what takes a minute may take many on a busy machine.
  testTimeout: 15 * 60_000,
};
