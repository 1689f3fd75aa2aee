import { toSingleLine } from '../text/single-line.ts';

/** The command that starts an agent for a queue, as it can be given to a shell: a queue's name may hold blanks. */
export function formatAgentCommand(queueName: string): string {
  const name = toSingleLine(queueName, 80);
  const word = /^[\w.,:@%+=/][\w.,:@%+=/-]*$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  return `clearml-agent daemon --queue ${word}`;
}
