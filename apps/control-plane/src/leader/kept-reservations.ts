/**
 * What jobs hold of each cluster's devices, kept up to date attempt by attempt: with tens of thousands of them it is not
 * put together anew at every look. Lists that were given out are never changed; those of other clusters stay the same.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Attempt, Job } from '#domain';
import type { Reservation } from '#scheduling';
import { promisesOf, reservationsOf } from './snapshot.ts';

const NONE: readonly Reservation[] = [];

export class KeptReservations {
  /** Attempt id → what its tasks hold; only live attempts. */
  private readonly held = new Map<string, readonly Reservation[]>();
  /** Cluster id → ids of the attempts with tasks there. */
  private readonly holders = new Map<string, Set<string>>();
  /** Room that is held for jobs whose victims are on their way out. */
  private promised: readonly Reservation[] = NONE;
  private readonly stale = new Set<string>();
  private lists: ReadonlyMap<string, readonly Reservation[]> = new Map();

  /**
   * @param ids whose attempts were looked for; null: all there are
   * @param live those of them that are not Ended
   */
  keepAttempts(ids: Iterable<string> | null, live: readonly Attempt[]): void {
    const present = new Map(live.map((attempt) => [attempt.id, reservationsOf(attempt)]));
    const looked = ids ?? new Set([...this.held.keys(), ...present.keys()]);
    for (const id of looked) this.keep(id, present.get(id) ?? NONE);
  }

  /** @param nominated all jobs that room is held for */
  keepPromises(nominated: readonly Job[]): void {
    const promised = nominated.flatMap(promisesOf);
    if (isDeepStrictEqual(promised, this.promised)) return;
    for (const { clusterId } of [...this.promised, ...promised]) this.stale.add(clusterId);
    this.promised = promised;
  }

  /** Cluster id → those in it, attempts before promises; only clusters that have some. The same map while nothing changed. */
  byCluster(): ReadonlyMap<string, readonly Reservation[]> {
    if (this.stale.size === 0) return this.lists;
    const lists = new Map(this.lists);
    for (const clusterId of this.stale) {
      const list = this.listOf(clusterId);
      if (list.length === 0) lists.delete(clusterId);
      else lists.set(clusterId, list);
    }
    this.stale.clear();
    this.lists = lists;
    return lists;
  }

  private keep(id: string, held: readonly Reservation[]): void {
    const before = this.held.get(id) ?? NONE;
    if (isDeepStrictEqual(before, held)) return;
    for (const { clusterId } of before) {
      this.stale.add(clusterId);
      this.holders.get(clusterId)?.delete(id);
    }
    for (const { clusterId } of held) {
      this.stale.add(clusterId);
      const holders = this.holders.get(clusterId) ?? new Set();
      this.holders.set(clusterId, holders.add(id));
    }
    if (held.length === 0) this.held.delete(id);
    else this.held.set(id, held);
  }

  /** In the order of ids, as they are read: what is packed around what is there depends on it. */
  private listOf(clusterId: string): Reservation[] {
    const ids = [...(this.holders.get(clusterId) ?? [])].sort();
    const running = ids.flatMap((id) => this.held.get(id)!);
    return [...running, ...this.promised].filter((each) => each.clusterId === clusterId);
  }
}
