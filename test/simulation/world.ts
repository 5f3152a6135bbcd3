/**
 * One virtual world: a clock that moves only from event to event, seeded randomness, and a history of what happened.
 *
 * Production code runs as it is. Its `Date` is the wall clock of whichever process is running (they may be apart, R22),
 * its promises are let run dry after every event, and nothing waits for real time: the same seed gives the same history.
 */

export const START_MS = Date.UTC(2026, 0, 1);
const HISTORY_MAX = 40;

/** Anything that can be paused or killed, and has a wall clock of its own. */
export interface SimulatedProcess {
  readonly name: string;
  /** Wall clock minus true time. */
  skewMs: number;
  state: 'running' | 'paused' | 'dead';
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly process: SimulatedProcess | null;
  readonly run: () => void;
}

export class World {
  nowMs = START_MS;
  readonly history: string[] = [];
  /** The first broken promise; the run ends with it. */
  violation: string | null = null;
  events = 0;
  private readonly queue: Event[] = [];
  private readonly backlogs = new Map<SimulatedProcess, Event[]>();
  private orders = 0;
  private running: SimulatedProcess | null = null;
  private randomState: number;

  constructor(readonly seed: number) {
    this.randomState = (seed * 0x9e3779b1 + 0x85ebca6b) >>> 0;
  }

  /** Seconds since the start, for people. */
  get atSeconds(): string {
    return ((this.nowMs - START_MS) / 1_000).toFixed(3);
  }

  /** Wall clock of the process that runs now, in whole milliseconds as clocks tell them. */
  wallMs(): number {
    return Math.floor(this.nowMs) + (this.running?.skewMs ?? 0);
  }

  /** 0 ≤ x < 1 (mulberry32). */
  random(): number {
    this.randomState = (this.randomState + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.randomState ^ (this.randomState >>> 15), this.randomState | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.random() * items.length)]!;
  }

  /** Runs later, in the name of `process`: never once it is dead, and not while it is paused but when it resumes. */
  after(delayMs: number, process: SimulatedProcess | null, run: () => void): void {
    this.orders += 1;
    this.push({ atMs: this.nowMs + Math.max(0, delayMs), order: this.orders, process, run });
  }

  every(intervalMs: number, process: SimulatedProcess, run: () => void): void {
    const again = () => {
      run();
      this.after(intervalMs, process, again);
    };
    this.after(intervalMs, process, again);
  }

  resume(process: SimulatedProcess): void {
    if (process.state !== 'paused') return;
    process.state = 'running';
    for (const { run } of this.backlogs.get(process) ?? []) this.after(0, process, run);
    this.backlogs.delete(process);
  }

  say(what: string): void {
    this.history.push(`${this.atSeconds} ${what}`);
    if (this.history.length > HISTORY_MAX) this.history.shift();
  }

  broken(what: string): void {
    if (this.violation !== null) return;
    this.say(`BROKEN ${what}`);
    this.violation = what;
  }

  /** Runs events until `untilMs` or the first violation. */
  async run(untilMs: number): Promise<void> {
    while (this.violation === null && this.queue.length > 0 && this.queue[0]!.atMs <= untilMs) {
      const event = this.pop();
      this.nowMs = Math.max(this.nowMs, event.atMs);
      const { process } = event;
      if (process?.state === 'dead') continue;
      if (process?.state === 'paused') {
        this.backlogs.set(process, [...(this.backlogs.get(process) ?? []), event]);
        continue;
      }
      this.events += 1;
      this.running = process;
      event.run();
      await promisesRunDry();
      this.running = null;
    }
    if (this.violation === null) this.nowMs = Math.max(this.nowMs, untilMs);
  }

  private push(event: Event): void {
    const { queue } = this;
    queue.push(event);
    for (let child = queue.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (!isBefore(queue[child]!, queue[parent]!)) break;
      [queue[child], queue[parent]] = [queue[parent]!, queue[child]!];
      child = parent;
    }
  }

  private pop(): Event {
    const { queue } = this;
    const first = queue[0]!;
    const last = queue.pop()!;
    if (queue.length === 0) return first;
    queue[0] = last;
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1;
      const right = left + 1;
      let least = parent;
      if (left < queue.length && isBefore(queue[left]!, queue[least]!)) least = left;
      if (right < queue.length && isBefore(queue[right]!, queue[least]!)) least = right;
      if (least === parent) return first;
      [queue[parent], queue[least]] = [queue[least]!, queue[parent]!];
      parent = least;
    }
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** Microtasks run before the next turn of the loop. */
function promisesRunDry(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Makes `Date` tell the world's time while `work` runs. Only this test file's realm sees it. */
export async function inWorldTime<Result>(world: World, work: () => Promise<Result>): Promise<Result> {
  const RealDate = globalThis.Date;
  class WorldDate extends RealDate {
    constructor(...given: [] | [number | string | Date]) {
      if (given.length === 0) super(world.wallMs());
      else super(given[0]);
    }

    static override now(): number {
      return world.wallMs();
    }
  }
  globalThis.Date = WorldDate as DateConstructor;
  try {
    return await work();
  } finally {
    globalThis.Date = RealDate;
  }
}
