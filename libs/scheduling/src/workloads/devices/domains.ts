/**
 * Who holds what in each domain of a pool. An entry is made when it is asked for and kept until one of its nodes changes,
 * so that asking again after a few changes costs a few entries.
 */
import type { TopologyScope } from '#domain';
import type { CapacityDomain } from '../ports.ts';
import type { Band, DevicePool, PoolWatcher } from './pool.ts';

type Names = Pick<CapacityDomain, 'name' | 'firstNode'>;

export class Domains implements PoolWatcher {
  private readonly level: number;
  private readonly isLinked: boolean;
  /** Domain at the level → its entry; one for each link domain of a node where those are asked for. */
  private readonly entries: (readonly CapacityDomain[] | null)[];

  constructor(
    private readonly pool: DevicePool,
    private readonly band: Band,
    scope: TopologyScope,
    private readonly holderOf: Int32Array,
    private readonly nameOfHolder: (holder: number) => string,
  ) {
    this.level = pool.topology.levelOf(scope);
    this.isLinked = scope === 'link';
    this.entries = new Array(pool.topology.sizeAt(this.level)).fill(null);
    pool.watch(this);
  }

  touch(node: number): void {
    this.entries[this.pool.topology.domainsAt(this.level)[node]!] = null;
  }

  /** Those with at least so many devices, free or not. */
  withAtLeast(devices: number): CapacityDomain[] {
    const found: CapacityDomain[] = [];
    for (let domain = 0; domain < this.entries.length; domain += 1) {
      const entries = this.entries[domain] ?? this.look(domain);
      for (const entry of entries) if (entry.totalDevices >= devices) found.push(entry);
    }
    return found;
  }

  private look(domain: number): readonly CapacityDomain[] {
    const { topology } = this.pool;
    const from = this.pool.firstSlot(topology.firstNode(this.level, domain));
    const end = this.pool.firstSlot(topology.firstNode(this.level, domain + 1));
    const firstNode = topology.nodes[topology.firstNode(this.level, domain)]!.name;
    const names = { name: topology.nameOf(this.level, domain), firstNode };
    const entries = this.isLinked ? this.countByLink(names, from, end) : [this.count(names, from, end)];
    this.entries[domain] = entries;
    return entries;
  }

  private countByLink(names: Names, from: number, end: number): CapacityDomain[] {
    const links = new Set<number>();
    for (let slot = from; slot < end; slot += 1) links.add(this.pool.linkDomainOf(slot));
    return [...links].map((link) =>
      this.count({ ...names, name: `${names.name}, link domain ${link + 1}` }, from, end, link),
    );
  }

  private count(names: Names, from: number, end: number, link?: number): CapacityDomain {
    const holders = new Map<string, number>();
    let [freeDevices, totalDevices] = [0, 0];
    for (let slot = from; slot < end; slot += 1) {
      if (!this.pool.isInBand(slot, this.band) || (link !== undefined && this.pool.linkDomainOf(slot) !== link))
        continue;
      totalDevices += 1;
      const holder = this.holderOf[slot]!;
      if (holder === 0) freeDevices += 1;
      else holders.set(this.nameOfHolder(holder), (holders.get(this.nameOfHolder(holder)) ?? 0) + 1);
    }
    return { ...names, freeDevices, totalDevices, holders };
  }
}
