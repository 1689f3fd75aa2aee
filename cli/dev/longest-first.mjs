import Sequencer from '@jest/test-sequencer';

/** What takes half a minute or more begins first: begun last, it would run on alone while the other core has nothing to do. */
const LONGEST = [
  'cli/e2e/fault-matrix-comment.test.ts',
  'cli/dev/demo.slow.test.ts',
  'cli/e2e/workflow.test.ts',
  'cli/e2e/fault-matrix-check.test.ts',
  'cli/e2e/fault-matrix-launch.test.ts',
  'cli/e2e/detached-life.test.ts',
  'cli/e2e/killed.test.ts',
  'cli/sandbox/real-clients.slow.test.ts',
  'cli/dev/gate-simulation.slow.test.ts',
  'cli/e2e/launch-agent.test.ts',
  'cli/e2e/hostile-input.test.ts',
  'cli/e2e/network.test.ts',
  'cli/dev/python-environment.slow.test.ts',
  'cli/e2e/launch-races.test.ts',
  'cli/dev/train-model.slow.test.ts',
];

/** Jest's own order (by size, where no earlier run has told the times), but for the longest. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => LONGEST.findIndex((name) => path.replaceAll('\\', '/').endsWith(name)) >>> 0;
    return super.sort(tests).sort((a, b) => rank(a) - rank(b));
  }
}
