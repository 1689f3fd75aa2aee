import { cpus, totalmem } from 'node:os';

/** The machine that something was measured on, as one phrase. */
export function describeMachine(): string {
  const processor = cpus()[0]?.model.trim() ?? 'unknown';
  return `${cpus().length} cores (${processor}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}`;
}
