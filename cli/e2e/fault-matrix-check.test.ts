import { main as check } from '../check-task-running.ts';
import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';

testFaultMatrix('check-task-running', check, { sampleSize: 6 });
