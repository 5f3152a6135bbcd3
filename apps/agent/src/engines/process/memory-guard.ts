// How much memory an engine has, all its processes together, looked at once a second at most: an engine that leaks is ended
// and started anew before the machine has to choose whom to end.
import { readdir } from 'node:fs/promises';
import { memoryBytesOf, processGroupOf } from '../../state/processes.ts';

const LOOK_MS = 1_000;

export class MemoryGuard {
  readonly #bytesMax: number | undefined;
  readonly #now: () => number;
  /** Leader's process id → when it was looked at last. */
  readonly #lookedAtMs = new Map<number, number>();

  /** `now`: monotonic milliseconds. */
  constructor(bytesMax: number | undefined, now: () => number = () => performance.now()) {
    this.#bytesMax = bytesMax;
    this.#now = now;
  }

  /** One sentence when the process group of `leader` has more than it may; null: it has not, or it is not known. */
  async excess(leader: number): Promise<string | null> {
    const nowMs = this.#now();
    if (this.#bytesMax === undefined || nowMs - (this.#lookedAtMs.get(leader) ?? -LOOK_MS) < LOOK_MS) return null;
    this.#lookedAtMs.set(leader, nowMs);
    const bytes = await groupMemoryBytes(leader);
    if (bytes <= this.#bytesMax) return null;
    return `The engine has taken ${mebibytes(bytes)} MiB of memory; it may have ${mebibytes(this.#bytesMax)} MiB.`;
  }

  forget(leader: number): void {
    this.#lookedAtMs.delete(leader);
  }
}

async function groupMemoryBytes(leader: number): Promise<number> {
  const names = await readdir('/proc').catch(() => []);
  const sizes = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => ((await processGroupOf(Number(name))) === leader ? memoryBytesOf(Number(name)) : 0)),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1_048_576);
}
