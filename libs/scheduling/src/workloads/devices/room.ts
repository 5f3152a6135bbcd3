/**
 * How many members of one shape fit where: a member is `unit.count` devices of a band of memory together in a link
 * domain, a node, or a wider domain of the topology. Counts are kept for each domain at the unit's level and summed up to
 * each wider level that was asked for; nodes that changed are looked at again when the next question comes.
 *
 * Which domain: the smallest that fits. Within it: as few domains of each narrower level as possible, wider levels first
 * (fewer racks before fewer nodes), so the fullest first and for the rest the tightest that is enough.
 */
import { CountIndex } from './count-index.ts';
import type { Band, DevicePool, PoolWatcher } from './pool.ts';

export interface Unit {
  /** Devices of a member, 1 or more. */
  readonly count: number;
  /** Level of the topology within which a member's devices are. */
  readonly level: number;
  /** Level 0 only: within one link domain of the node. */
  readonly isLinked: boolean;
}

/** So many members in a domain at the unit's level. */
export interface Piece {
  readonly domain: number;
  readonly members: number;
}

export class Room implements PoolWatcher {
  /** Nodes that changed since the last question. */
  private readonly dirty: Int32Array;
  private readonly isDirty: Uint8Array;
  private dirtyCount = 0;
  private readonly freeByNode: Int32Array;
  private readonly freeByDomain: Int32Array;
  private readonly units: Int32Array;
  /** At the unit's level by free devices, or where links count by members and then free devices; above it by members. */
  private readonly indexes: (CountIndex | null)[];
  /** What one more member means for the number at the unit's level. */
  private readonly step: number;

  /** `holderOf`: of the pool's slots; not the pool's own when it asks what would fit were everything free. */
  constructor(
    readonly pool: DevicePool,
    readonly band: Band,
    readonly unit: Unit,
    private readonly holderOf: Int32Array,
  ) {
    const { topology } = pool;
    const nodes = topology.nodes.length;
    const domains = topology.sizeAt(unit.level);
    this.dirty = new Int32Array(nodes);
    this.isDirty = new Uint8Array(nodes);
    this.freeByNode = new Int32Array(nodes);
    this.freeByDomain = new Int32Array(domains);
    this.units = new Int32Array(domains);
    this.step = unit.isLinked ? pool.nodeMax + 1 : unit.count;
    const countMax = unit.isLinked ? this.step * this.step : pool.largestAt(unit.level);
    this.indexes = new Array(topology.top + 1).fill(null);
    this.indexes[unit.level] = new CountIndex(domains, countMax);
    for (let node = 0; node < nodes; node += 1) this.touch(node);
  }

  touch(node: number): void {
    if (this.isDirty[node] === 1) return;
    this.isDirty[node] = 1;
    this.dirty[this.dirtyCount] = node;
    this.dirtyCount += 1;
  }

  /** A domain at `level` with room for so many members, and as little more as possible; −1: none. */
  tightest(level: number, members: number): number {
    return this.indexAt(level).tightest(members * this.stepAt(level));
  }

  /** The domain at `level` with room for the most members; −1: none has room for any. */
  roomiest(level: number): number {
    const domain = this.indexAt(level).largest();
    return domain === -1 || this.membersAt(level, domain) === 0 ? -1 : domain;
  }

  /** How much of a domain's room so many members use, 0..1. */
  shareOf(level: number, domain: number, members: number): number {
    this.refresh();
    if (level === this.unit.level) return (members * this.unit.count) / this.freeByDomain[domain]!;
    return members / this.membersIn(level, domain);
  }

  /** How many members fit into a domain. */
  membersIn(level: number, domain: number): number {
    this.indexAt(level);
    return this.membersAt(level, domain);
  }

  /** Divides members, who fit, over domains at the unit's level. */
  divide(level: number, domain: number, members: number): Piece[] {
    const pieces: Piece[] = [];
    this.divideInto(level, domain, members, pieces);
    return pieces;
  }

  private divideInto(level: number, domain: number, members: number, into: Piece[]): void {
    if (level === this.unit.level) {
      into.push({ domain, members });
      return;
    }
    const inner = level - 1;
    const index = this.indexAt(inner);
    const from = this.pool.topology.firstInner(level, domain);
    const end = this.pool.topology.firstInner(level, domain + 1);
    let missing = members;
    for (let fullest = index.largest(from, end); missing > 0; fullest = index.following(fullest, from, end)) {
      if (fullest === -1)
        throw new Error(`${members} members do not fit into ${this.pool.topology.nameOf(level, domain)}`);
      const has = this.membersAt(inner, fullest);
      const tight = has >= missing ? index.tightest(missing * this.stepAt(inner), from, end) : fullest;
      const chosen = index.at(tight) < index.at(fullest) ? tight : fullest;
      const count = Math.min(has, missing);
      this.divideInto(inner, chosen, count, into);
      missing -= count;
    }
  }

  private stepAt(level: number): number {
    return level === this.unit.level ? this.step : 1;
  }

  private membersAt(level: number, domain: number): number {
    return level === this.unit.level ? this.units[domain]! : this.indexes[level]!.at(domain);
  }

  /** Up to date. */
  private indexAt(level: number): CountIndex {
    this.refresh();
    return this.indexes[level] ?? this.sumUp(level);
  }

  private sumUp(level: number): CountIndex {
    const { topology } = this.pool;
    const sums = new Int32Array(topology.sizeAt(level));
    this.units.forEach((members, domain) => {
      sums[topology.outer(level, this.unit.level, domain)]! += members;
    });
    const index = new CountIndex(sums.length, Math.floor(this.pool.largestAt(level) / this.unit.count));
    sums.forEach((members, domain) => {
      index.set(domain, members);
    });
    this.indexes[level] = index;
    return index;
  }

  private refresh(): void {
    for (let at = 0; at < this.dirtyCount; at += 1) {
      const node = this.dirty[at]!;
      this.isDirty[node] = 0;
      this.look(node);
    }
    this.dirtyCount = 0;
  }

  private look(node: number): void {
    const free = this.pool.countFree(node, this.band, this.holderOf);
    const change = free - this.freeByNode[node]!;
    const domain = this.pool.topology.domainsAt(this.unit.level)[node]!;
    const before = this.units[domain]!;
    this.freeByNode[node] = free;
    this.freeByDomain[domain]! += change;
    const members = this.membersOf(node, domain);
    this.units[domain] = members;
    const inDomain = this.freeByDomain[domain]!;
    const key = this.unit.isLinked ? members * this.step + inDomain : inDomain;
    this.indexes[this.unit.level]!.set(domain, key);
    if (members !== before) this.addAbove(node, members - before);
  }

  private membersOf(node: number, domain: number): number {
    const { count, isLinked } = this.unit;
    if (isLinked) return this.pool.countLinked(node, this.band, count, this.holderOf);
    return Math.floor(this.freeByDomain[domain]! / count);
  }

  private addAbove(node: number, change: number): void {
    for (let level = this.unit.level + 1; level < this.indexes.length; level += 1) {
      const index = this.indexes[level]!;
      if (index === null) continue;
      const domain = this.pool.topology.domainsAt(level)[node]!;
      index.set(domain, index.at(domain) + change);
    }
  }
}
