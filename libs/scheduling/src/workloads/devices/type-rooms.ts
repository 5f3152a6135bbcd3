/** The devices of one type in one cluster, with what is counted of them: as they are held, and as if all were free. */
import type { NodeDevices, TopologyScope } from '#domain';
import { stableHash } from '../../candidates.ts';
import type { ScoredPlace } from '../capacity-scorers.ts';
import type { WorkloadCluster } from '../snapshot.ts';
import { Domains } from './domains.ts';
import type { Need } from './need.ts';
import type { DevicePool } from './pool.ts';
import { Rooms, type Spot } from './rooms.ts';

/** Kinds of domains kept at once, by scope and least memory; at the bound the oldest is forgotten. */
const DOMAINS_MAX = 8;

/** The best place for the whole of a need in one cluster, and how good it is where no cluster is preferred. */
export interface Offer {
  readonly need: Need;
  /** The pool's count of changes at that time: with another one it is out of date. */
  readonly changes: number;
  /** Null: none. */
  readonly found: { readonly spot: Spot; readonly place: ScoredPlace; readonly score: number } | null;
}

export class TypeRooms {
  readonly now: Rooms;
  /** By the need's number, what was found when it was last looked for; see `capacity-choice.ts`. */
  readonly offers: (Offer | undefined)[] = [];
  /** Of the cluster's id, for ties. */
  readonly hash: number;
  private readonly domainsByKey = new Map<string, Domains>();
  private ifFree: Rooms | null = null;

  /** `base`: the number of the pool's first slot in the fleet. */
  constructor(
    public cluster: WorkloadCluster,
    readonly pool: DevicePool,
    readonly base: number,
    readonly holderOf: Int32Array,
    private readonly nameOfHolder: (holder: number) => string,
  ) {
    this.now = new Rooms(pool, holderOf, true);
    this.hash = stableHash(cluster.id);
  }

  /** What would fit were nothing held. */
  get empty(): Rooms {
    this.ifFree ??= new Rooms(this.pool, new Int32Array(this.pool.size), false);
    return this.ifFree;
  }

  /** Null: no device has so much memory. */
  domains(scope: TopologyScope, memoryBytes: number): Domains | null {
    const band = this.pool.bandsFrom(this.pool.gradeFor(memoryBytes)).at(-1);
    if (band === undefined) return null;
    const key = `${scope} ${band.low}`;
    const known = this.domainsByKey.get(key);
    if (known !== undefined) return known;
    if (this.domainsByKey.size === DOMAINS_MAX) this.forgetOldest();
    const made = new Domains(this.pool, band, scope, this.holderOf, this.nameOfHolder);
    this.domainsByKey.set(key, made);
    return made;
  }

  /** Slots by node, null where the cluster binds by itself. */
  bind(slots: readonly number[], from: number, count: number): NodeDevices[] | null {
    if (this.cluster.kind === 'edge') return null;
    const { topology } = this.pool;
    const bound: { node: string; deviceIds: string[] }[] = [];
    let last = -1;
    for (let at = from; at < from + count; at += 1) {
      const node = this.pool.nodeOf(slots[at]!);
      if (node !== last) bound.push({ node: topology.nodes[node]!.name, deviceIds: [] });
      last = node;
      bound.at(-1)!.deviceIds.push(this.pool.deviceIdOf(slots[at]!));
    }
    return bound;
  }

  private forgetOldest(): void {
    const [key, oldest] = [...this.domainsByKey][0]!;
    this.domainsByKey.delete(key);
    this.pool.unwatch(oldest);
  }
}
