import everything from '../../jest.config.js';

// The programs that the tests run as processes are then those that `npm run build` has made.
process.env.TEST_BUNDLES = '1';

/** The tests that run programs as processes, but for `killed`, which runs built ones anyway. */
const FILES = [
  'action-workflow',
  'bundle',
  'check-task-abort',
  'check-task-cause',
  'check-task-ended',
  'check-task-log',
  'check-task-signal',
  'check-task-wait',
  'comment-gate-process',
  'comment-process',
  'large-report',
  'launch-process',
  'network',
];

/**
 * `npm run test:bundle`
 *
 * @type {import('jest').Config}
 */
export default {
  ...everything,
  rootDir: '../..',
  testMatch: FILES.map((name) => `<rootDir>/cli/e2e/${name}.test.ts`),
};
