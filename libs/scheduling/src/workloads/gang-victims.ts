/**
 * The victims for a gang: its members are fitted one by one, each where the next member costs least, until the gang's
 * minimum fits (G03). Done under the lowest cap on the victims' priority at which it can be done at all. Greedy over the
 * units, exact within each; a victim that spans units frees its devices in all of them at once (G04).
 */
import type { Node, TopologyScope } from '#domain';
import { cheapestSet, compareLosses, lossOf, type VictimOption } from './victim-set.ts';
import type { Victim } from './victims.ts';

type GangOption = VictimOption & { readonly victim: Victim };

/** A domain that one member must be in. */
export interface GangUnit<Option extends GangOption> {
  readonly free: number;
  readonly options: readonly Option[];
}

/** Null: even with all of them gone not `members` fit. Empty: they would fit by counting as it is. */
export function gangSet<Option extends GangOption>(
  units: readonly GangUnit<Option>[],
  members: number,
  count: number,
): Option[] | null {
  const priorities = new Set(units.flatMap(({ options }) => options.map(({ priority }) => priority)));
  for (const cap of [...priorities].sort((left, right) => left - right)) {
    const set = new GangFitting(units, count, cap).fit(members);
    if (set !== null) return set;
  }
  return null;
}

class GangFitting<Option extends GangOption> {
  private readonly free: number[];
  private readonly chosen = new Map<Victim, Option>();
  private readonly unitsOf = new Map<Victim, number[]>();
  /** Unit → what one more member would cost there; null: it cannot. */
  private readonly next: (Option[] | null)[];

  constructor(
    private readonly units: readonly GangUnit<Option>[],
    private readonly count: number,
    private readonly cap: number,
  ) {
    this.free = units.map(({ free }) => free);
    units.forEach(({ options }, unit) => {
      for (const { victim } of options) this.unitsOf.set(victim, [...(this.unitsOf.get(victim) ?? []), unit]);
    });
    this.next = units.map((_, unit) => this.nextIn(unit));
  }

  fit(members: number): Option[] | null {
    while (this.fitting() < members) {
      const unit = this.cheapestUnit();
      if (unit === null) return null;
      for (const option of this.next[unit]!) this.choose(option);
    }
    return [...this.chosen.values()];
  }

  private fitting(): number {
    return this.free.reduce((sum, free) => sum + Math.floor(free / this.count), 0);
  }

  private nextIn(unit: number): Option[] | null {
    const options = this.units[unit]!.options.filter(
      ({ victim, priority }) => priority <= this.cap && !this.chosen.has(victim),
    );
    return cheapestSet(options, this.count - (this.free[unit]! % this.count));
  }

  private cheapestUnit(): number | null {
    let best: number | null = null;
    this.next.forEach((set, unit) => {
      if (set === null) return;
      if (best === null || compareLosses(lossOf(set), lossOf(this.next[best]!)) < 0) best = unit;
    });
    return best;
  }

  private choose(option: Option): void {
    this.chosen.set(option.victim, option);
    const units = this.unitsOf.get(option.victim)!;
    for (const unit of units) {
      this.free[unit]! += this.units[unit]!.options.find(({ victim }) => victim === option.victim)!.devices;
    }
    for (const unit of units) this.next[unit] = this.nextIn(unit);
  }
}

/** As the topology of a cluster has it: what names no rack or zone is one of its own. */
export function groupOf(node: Node, scope: TopologyScope): string {
  if (scope === 'cluster') return '';
  const rack = node.rack === undefined ? `node ${node.name}` : `rack ${node.zone ?? ''} ${node.rack}`;
  if (scope === 'zone') return node.zone === undefined ? rack : `zone ${node.zone}`;
  return scope === 'rack' ? rack : `node ${node.name}`;
}
