import { main as check } from '../check-task-running.ts';
import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';
import { createCheckScenarios } from '../dev/fault-scenarios.ts';

testFaultMatrix(createCheckScenarios(check), { sampleSize: 6 });
