/** What a request has done so far; another request may come in between, as on a real server with several processes. */
export type StepDone =
  /** The task was read; what follows goes by what it was. */
  | 'task loaded'
  /** tasks.enqueue: the status is `queued`. */
  | 'status set'
  /** tasks.enqueue: the task is in no entry of the queue. */
  | 'entry looked for'
  /** tasks.enqueue: the entry is in the queue, and the task does not say so yet. */
  | 'entry pushed'
  /** tasks.dequeue, tasks.stop, tasks.archive: the entry is gone, and the status is still the old one. */
  | 'entry removed'
  /** projects.create: there is no project of this name yet; what it lies in is there. */
  | 'project looked for';

/** A gap between two steps of a request. */
export interface Gap {
  /** Unless it is about a project. */
  readonly task?: string;
  readonly done: StepDone;
}

/** The steps of a request, with the gaps between them. */
export type Steps<T> = Generator<Gap, T, void>;

/** Asked at each gap: nothing lets the request go on at once, a promise holds it until it is settled. */
export type AtGap = (gap: Gap) => Promise<unknown> | undefined;

/** Takes all steps. Without a promise from `atGap` nothing comes in between: the request is atomic. */
export function takeSteps<T>(steps: Steps<T>, atGap: AtGap): T | Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    const pause = atGap(step.value);
    if (pause) return takeStepsAfter(pause, steps, atGap);
  }
}

async function takeStepsAfter<T>(pause: Promise<unknown>, steps: Steps<T>, atGap: AtGap): Promise<T> {
  await pause;
  return takeSteps(steps, atGap);
}

/** A gap of a request to an endpoint, as `atGap` of the sandbox hears of it. */
export interface RequestGap extends Gap {
  readonly endpoint: string;
}

/** Requests that are held at a gap until they are let go. */
export interface Hold {
  /** For the sandbox's option `atGap`. */
  readonly atGap: (gap: RequestGap) => Promise<void> | undefined;
  /** Holds the next request to the endpoint at this gap. What it gives is settled once the request is there; `release` lets it go on. */
  next(endpoint: string, done: StepDone): { readonly reached: Promise<void>; release(): void };
}

/** For tests: brings requests into an order in which a real server's processes come rarely. */
export function createHold(): Hold {
  const waiting: { endpoint: string; done: StepDone; reach(): void; released: Promise<void> }[] = [];
  return {
    atGap({ endpoint, done }) {
      const index = waiting.findIndex((one) => one.endpoint === endpoint && one.done === done);
      const [held] = index < 0 ? [] : waiting.splice(index, 1);
      held?.reach();
      return held?.released;
    },
    next(endpoint, done) {
      let reach = () => {};
      let release = () => {};
      const reached = new Promise<void>((resolve) => {
        reach = resolve;
      });
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      waiting.push({ endpoint, done, reach, released });
      return { reached, release };
    },
  };
}
