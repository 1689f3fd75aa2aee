import { main as comment } from '../create-stats-comment.ts';
import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';

testFaultMatrix('create-stats-comment', comment, { sampleSize: 8 });
