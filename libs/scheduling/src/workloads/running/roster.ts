/**
 * Who runs, by holder, from snapshot to snapshot: tells what changed since the one before. A workload that is the same
 * object as before is unchanged; looking through tens of thousands of these costs a fraction of a millisecond, for they
 * mostly come in the order in which they came before.
 */
import { HolderNumbers } from '../devices/holder-numbers.ts';
import type { RunningWorkload } from '../snapshot.ts';

export interface RosterChange {
  /** In no order. What changed is in both lists. */
  readonly gone: readonly RunningWorkload[];
  readonly come: readonly RunningWorkload[];
}

export class Roster {
  readonly holders = new HolderNumbers();
  /** By the holder's number. */
  private readonly byNumber: (RunningWorkload | undefined)[] = [];
  /** Number → the last update that had it. */
  private readonly seenIn: number[] = [];
  private updates = 0;
  /** Numbers of those that run, `count` of them; the other list is for the next update. */
  private numbers = new Int32Array(0);
  private spare = new Int32Array(0);
  private count = 0;
  /** Workload id → a holder of it; where it has several, all of them. */
  private readonly holderOf = new Map<string, RunningWorkload>();
  private readonly several = new Map<string, readonly RunningWorkload[]>();

  get size(): number {
    return this.count;
  }

  /** Undefined: it does not run. */
  of(holderId: string): RunningWorkload | undefined {
    const number = this.holders.find(holderId);
    return number === undefined ? undefined : this.byNumber[number];
  }

  *[Symbol.iterator](): Generator<RunningWorkload> {
    for (let at = 0; at < this.count; at += 1) yield this.byNumber[this.numbers[at]!]!;
  }

  /** Workloads that have several holders, each with all of them, in order of their start. */
  get repeated(): ReadonlyMap<string, readonly RunningWorkload[]> {
    return this.several;
  }

  /** Of two with one holder the first counts. */
  update(running: readonly RunningWorkload[]): RosterChange {
    this.updates += 1;
    const gone: RunningWorkload[] = [];
    const come: RunningWorkload[] = [];
    const [before, countBefore] = [this.numbers, this.count];
    const numbers = this.spare.length < running.length ? new Int32Array(running.length * 2) : this.spare;
    let count = 0;
    for (const each of running) {
      const number = this.holders.of(each.holderId);
      if (this.seenIn[number] === this.updates) continue;
      this.seenIn[number] = this.updates;
      numbers[count] = number;
      count += 1;
      const known = this.byNumber[number];
      if (known === each) continue;
      if (known !== undefined) gone.push(known);
      come.push(each);
    }
    for (let at = 0; at < countBefore; at += 1) {
      if (this.seenIn[before[at]!] !== this.updates) gone.push(this.byNumber[before[at]!]!);
    }
    Object.assign(this, { numbers, spare: before, count });
    for (const each of gone) this.leave(each);
    for (const each of come) this.enter(each);
    return { gone, come };
  }

  private enter(running: RunningWorkload): void {
    this.byNumber[this.holders.of(running.holderId)] = running;
    const { id } = running;
    const other = this.holderOf.get(id);
    if (other === undefined) this.holderOf.set(id, running);
    else this.several.set(id, [...(this.several.get(id) ?? [other]), running].sort(byStart));
  }

  private leave(running: RunningWorkload): void {
    this.byNumber[this.holders.of(running.holderId)] = undefined;
    const { id } = running;
    const rest = this.several.get(id)?.filter((each) => each !== running) ?? [];
    if (rest.length > 1) this.several.set(id, rest);
    else this.several.delete(id);
    if (rest.length > 0) this.holderOf.set(id, rest[0]!);
    else this.holderOf.delete(id);
  }
}

/** The order in which what runs came to its devices: by start, then by holder, whatever order a snapshot has. */
export function byStart(left: RunningWorkload, right: RunningWorkload): number {
  return left.startedAtMs - right.startedAtMs || (left.holderId < right.holderId ? -1 : 1);
}
