// What the heartbeat thread must know of the main thread, in shared memory: reading it needs no turn of the main loop.
// Times are hrtime, which all threads of a process share (performance.now() starts anew in each).

const TURNED_AT = 0;
const REVISION = 1;
const INFLIGHT = 2;
const QUEUED = 3;
const SLOTS = 4;
/** How often the main thread says that it turns. */
const TURN_INTERVAL_MS = 200;

export interface PulseReading {
  readonly revision: number;
  readonly inflight: number;
  readonly queued: number;
  readonly stallMs: number;
}

export function createPulseMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * BigInt64Array.BYTES_PER_ELEMENT);
}

/** The main thread's end. */
export class Pulse {
  readonly memory = createPulseMemory();
  readonly #slots = new BigInt64Array(this.memory);
  readonly #timer: NodeJS.Timeout;

  constructor(read: () => { revision: number; inflight: number; queued: number }) {
    const turn = () => {
      const { revision, inflight, queued } = read();
      Atomics.store(this.#slots, REVISION, BigInt(revision));
      Atomics.store(this.#slots, INFLIGHT, BigInt(inflight));
      Atomics.store(this.#slots, QUEUED, BigInt(queued));
      Atomics.store(this.#slots, TURNED_AT, process.hrtime.bigint());
    };
    turn();
    this.#timer = setInterval(turn, TURN_INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** The heartbeat thread's end. */
export function readPulse(memory: SharedArrayBuffer): PulseReading {
  const slots = new BigInt64Array(memory);
  const silentMs = Number((process.hrtime.bigint() - Atomics.load(slots, TURNED_AT)) / 1_000_000n);
  return {
    revision: Number(Atomics.load(slots, REVISION)),
    inflight: Number(Atomics.load(slots, INFLIGHT)),
    queued: Number(Atomics.load(slots, QUEUED)),
    stallMs: Math.max(0, silentMs - TURN_INTERVAL_MS),
  };
}
