import { afterAll } from '@jest/globals';
import { main as comment } from '../create-stats-comment.ts';
import { testFaultMatrix } from '../dev/fault-matrix-tests.ts';
import { createCommentScenarios } from '../dev/fault-scenarios.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';

const repository = createScratchRepository();

testFaultMatrix(createCommentScenarios(comment, repository), { sampleSize: 8 });

afterAll(() => repository.remove());
