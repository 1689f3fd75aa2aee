import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';
import { main as launch } from '../launch-training-task.ts';

testFaultMatrix('launch-training-task', launch, { sampleSize: 6 });
