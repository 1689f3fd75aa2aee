import { readFileSync } from 'node:fs';
import type { Evidence } from '../training/cause/cause-table.ts';

/** A console with the decisive lines of real libraries, and what should be said of it. */
export interface FailureConsole {
  readonly name: string;
  readonly exitCode: number;
  /** Default: the agent's, which names the exit code. */
  readonly statusReason?: string;
  readonly statusMessage?: string;
  readonly log: readonly string[];
  readonly want: {
    readonly kind: string;
    /** Relative to the repository; null where no line of it can be known. */
    readonly file: string | null;
    readonly line: number | null;
    readonly messageHas?: string;
    readonly adviceHas?: string;
  };
}

const FOLDER = new URL('../training/fixtures/failure-consoles/', import.meta.url);

/** `cases.json` are consoles that were seen or reported, `siblings.json` others of their kinds, by the libraries' sources. */
export function readFailureConsoles(): FailureConsole[] {
  return ['cases.json', 'siblings.json'].flatMap((file) =>
    JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')),
  );
}

/** What ClearML would show of it. */
export function toEvidence({
  exitCode,
  statusReason,
  statusMessage,
  log,
}: Omit<FailureConsole, 'name' | 'want'>): Evidence {
  return {
    statusReason: statusReason ?? `worker execution exit code ${exitCode}`,
    statusMessage: statusMessage ?? 'Changed by clearml-agent gpu-box:0',
    log,
    isLogComplete: true,
    workingDir: '.',
  };
}
