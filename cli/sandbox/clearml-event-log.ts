/** An event as it is stored and sent back: what the client sent, plus what the server adds. */
export type StoredEvent = Record<string, unknown> & {
  type: string;
  metric: string;
  variant: string;
  timestamp: number;
};

/** The events of one task. Log lines are kept apart: there may be a million. */
export class TaskEvents {
  /** By metric, then variant; the innermost map is by iteration and key: sent again, it is overwritten (recording 157). */
  readonly scalars = new Map<string, Map<string, Map<string, StoredEvent>>>();
  /** Plots and debug images, by metric, variant, iteration and key. */
  readonly others = new Map<string, StoredEvent>();
  #logs: StoredEvent[] = [];
  #logsSorted = true;

  /** Stores an event, in place of an equal one where it is no log line. */
  add(event: StoredEvent): void {
    if (event.type === 'log') {
      const last = this.#logs.at(-1);
      if (last && last.timestamp > event.timestamp) this.#logsSorted = false;
      this.#logs.push(event);
      return;
    }
    const key = JSON.stringify([event.iter ?? null, event.key ?? null]);
    if (event.type !== 'training_stats_scalar') {
      this.others.set(JSON.stringify([event.type, event.metric, event.variant, key]), event);
      return;
    }
    const variants = getOrAdd(this.scalars, event.metric, () => new Map());
    getOrAdd(variants, event.variant, () => new Map()).set(key, event);
  }

  /** All log lines, oldest first; equal times in the order in which they came. */
  get logs(): readonly StoredEvent[] {
    if (!this.#logsSorted) {
      this.#logs.sort((a, b) => a.timestamp - b.timestamp);
      this.#logsSorted = true;
    }
    return this.#logs;
  }

  /** Every scalar, metric by metric. */
  *allScalars(): Generator<StoredEvent> {
    for (const variants of this.scalars.values())
      for (const events of variants.values()) yield* events.values();
  }

  /** Every event of a type. */
  *ofType(type: string): Generator<StoredEvent> {
    if (type === 'log') yield* this.logs;
    else if (type === 'training_stats_scalar') yield* this.allScalars();
    else for (const event of this.others.values()) if (event.type === type) yield event;
  }

  /** Every event of every type. */
  *all(): Generator<StoredEvent> {
    yield* this.logs;
    yield* this.allScalars();
    yield* this.others.values();
  }
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/**
 * A page of log lines (recordings 155-165). Going back it holds the newest before `fromMs`, newest first, going forward the oldest after
 * it; `fromMs` is exclusive, and lines that share the last time are all sent, beyond `size` where need be.
 */
export function pageOfLogs(
  logs: readonly StoredEvent[],
  options: { earlier: boolean; fromMs: number | undefined; size: number },
): StoredEvent[] {
  const { earlier, fromMs, size } = options;
  if (!earlier) {
    const start = fromMs ? firstIndex(logs, (time) => time > fromMs) : 0;
    let end = Math.min(start + size, logs.length);
    while (end > start && end < logs.length && logs[end]?.timestamp === logs[end - 1]?.timestamp) end += 1;
    return logs.slice(start, end);
  }
  const end = fromMs ? firstIndex(logs, (time) => time >= fromMs) : logs.length;
  let start = Math.max(0, end - size);
  while (start > 0 && start < end && logs[start - 1]?.timestamp === logs[start]?.timestamp) start -= 1;
  return newestFirst(logs.slice(start, end));
}

/** Sorts stably by falling time: lines of equal time stay in the order in which they came. */
function newestFirst(logs: StoredEvent[]): StoredEvent[] {
  return logs.sort((a, b) => b.timestamp - a.timestamp);
}

/** The first index whose time fulfils a condition that holds from there on. */
function firstIndex(logs: readonly StoredEvent[], holds: (timeMs: number) => boolean): number {
  let low = 0;
  let high = logs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const event = logs[middle];
    if (event && holds(event.timestamp)) high = middle;
    else low = middle + 1;
  }
  return low;
}
