import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';
import { createLaunchScenarios } from '../dev/fault-scenarios.ts';
import { main as launch } from '../launch-training-task.ts';

testFaultMatrix(createLaunchScenarios(launch), { sampleSize: 6 });
