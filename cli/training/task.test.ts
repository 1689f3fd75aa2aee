import { expect, test } from '@jest/globals';
import { formatAgentCommand } from './task.ts';

test.each([
  ['default', 'default'],
  ['gpu-a100_40', 'gpu-a100_40'],
  ['GPU queue', "'GPU queue'"],
  ["ada's; rm -rf ~", "'ada'\\''s; rm -rf ~'"],
  ['two\nlines\u001b[31m', "'two lines'"],
  ['-x', "'-x'"],
])('the name of the queue %j is one word of the command', (name, word) => {
  expect(formatAgentCommand(name)).toBe(`clearml-agent daemon --queue ${word}`);
});
