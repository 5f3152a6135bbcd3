/**
 * Over which groups of clusters a deployment's replicas lie (X04), and where one more may go without taking the place that
 * a group without any still needs.
 *
 * Invariant: with P places given in G groups, W wanted and T = min(minGroups, W) groups demanded, P + (T − G) ≤ W: a place
 * is left for every group that is missing. One in a new group never breaks that. Where it is broken already (the demand is
 * younger than what runs, fewer are wanted now, or a cluster has come back) only new groups are taken. What runs is never
 * moved for it, and a replica that changes its version stays where it is. What the applier refuses does not break it
 * either: each place that is not given takes one place away, and one group at most (ADR 28).
 *
 * Terms: Karmada's spreadConstraints (minGroups), Kubernetes' topologySpreadConstraints (minDomains).
 */
import type { Cluster, Deployment, Placement, SpreadConstraint, SpreadField } from '#domain';
import type { Candidate } from './candidates.ts';
import type { SpreadRoom } from './plan.ts';
import { type Rejection, reject } from './selector-filters.ts';
import type { WorkingFleet } from './working-fleet.ts';

interface Placed {
  readonly placement: Pick<Placement, 'clusterId'>;
}
type Located = Pick<Cluster, 'name' | 'region' | 'zone'>;

const GROUPS: Readonly<Record<SpreadField, (cluster: Located) => string>> = {
  region: ({ region }) => region,
  zone: ({ region, zone }) => (zone === '' || region === '' ? zone : `${region}/${zone}`),
  cluster: ({ name }) => name,
};

/** Null: its cluster does not say in which one it is, so it counts for none. */
export function spreadGroup(by: SpreadField, cluster: Located | undefined): string | null {
  return cluster === undefined ? null : GROUPS[by](cluster) || null;
}

export class Spread {
  private constructor(
    private readonly fleet: WorkingFleet,
    readonly constraint: SpreadConstraint | null,
    private readonly wanted: number,
    /** Group → replicas in it. */
    private readonly counts: Map<string, number>,
    /** Replicas, those in no group too. */
    private placed: number,
  ) {}

  /** @param counted all that counts towards the wanted replicas and has its place */
  static of(fleet: WorkingFleet, deployment: Deployment, wanted: number, counted: readonly Placed[]): Spread {
    const spread = new Spread(fleet, deployment.spread, wanted, new Map(), 0);
    for (const { placement } of counted) spread.add(placement.clusterId);
    return spread;
  }

  /** As it would be were one replica not where it is. */
  without(clusterId: string): Spread {
    const left = new Spread(this.fleet, this.constraint, this.wanted, new Map(this.counts), this.placed);
    left.count(clusterId, -1);
    return left;
  }

  add(clusterId: string): void {
    this.count(clusterId, 1);
  }

  move(fromClusterId: string, toClusterId: string): void {
    this.count(fromClusterId, -1);
    this.count(toClusterId, 1);
  }

  get groups(): ReadonlyMap<string, number> {
    return this.counts;
  }

  /** Null: of none. */
  groupOf(clusterId: string): string | null {
    return this.constraint && spreadGroup(this.constraint.by, this.fleet.clusters.get(clusterId)?.cluster);
  }

  /** How many groups more must get a replica. */
  get missing(): number {
    if (this.constraint === null) return 0;
    return Math.max(0, Math.min(this.constraint.minGroups, this.wanted) - this.counts.size);
  }

  /** How many replicas more may go to any group. */
  get anywhere(): number {
    return Math.max(0, this.wanted - this.placed - this.missing);
  }

  /** By how many replicas it is more than there is room for beside the places that are kept back; 0 or less: by none. */
  get excess(): number {
    return this.placed + this.missing - this.wanted;
  }

  /** True: every wanted replica has its place. */
  get isFull(): boolean {
    return this.placed >= this.wanted;
  }

  /** Refuses of those that fit what would break the spread. */
  judge(candidates: readonly Candidate[]): readonly Candidate[] {
    if (this.constraint === null) return candidates;
    const { by } = this.constraint;
    const { isReserved } = this;
    return candidates.map((candidate) => {
      if (candidate.rejection !== null) return candidate;
      const group = this.groupOf(candidate.verdict.clusterId);
      if (group === null) return refused(candidate, rejectNowhere(by));
      return isReserved && this.counts.has(group) ? refused(candidate, rejectTaken(by, group)) : candidate;
    });
  }

  /** What is left for replicas without a place; null: no spread is demanded. */
  room(): SpreadRoom | null {
    if (this.constraint === null) return null;
    const closed = [...this.fleet.clusters.keys()].filter((id) => {
      const group = this.groupOf(id);
      return group === null || (this.isReserved && this.counts.has(group));
    });
    return { missing: this.missing, anywhere: this.anywhere, closedClusterIds: closed };
  }

  /** True: every place that is left is for a group that has none. */
  private get isReserved(): boolean {
    return this.missing > 0 && this.anywhere === 0;
  }

  private count(clusterId: string, change: 1 | -1): void {
    this.placed += change;
    const group = this.groupOf(clusterId);
    if (group === null) return;
    const replicas = (this.counts.get(group) ?? 0) + change;
    if (replicas > 0) this.counts.set(group, replicas);
    else this.counts.delete(group);
  }
}

/**
 * The first of `going`, in the order given, without which the others lie in as many groups as are demanded, or in as
 * many as now.
 *
 * @param staying also count
 */
export function firstToSpare<Each extends Placed>(
  fleet: WorkingFleet,
  deployment: Deployment,
  wanted: number,
  going: readonly Each[],
  staying: readonly Each[] = [],
): Each | undefined {
  if (deployment.spread === null) return going[0];
  const spread = Spread.of(fleet, deployment, wanted, [...going, ...staying]);
  const spare = going.find(({ placement }) => spread.without(placement.clusterId).missing <= spread.missing);
  return spare ?? going[0];
}

function refused({ verdict }: Candidate, rejection: Rejection): Candidate {
  const { clusterId, clusterName } = verdict;
  const words = { score: null, scores: {}, rejectedBecause: rejection.because, rejectedBy: 'spread' };
  return { verdict: { clusterId, clusterName, ...words }, rejection };
}

function rejectNowhere(by: SpreadField): Rejection {
  return reject(`it has no ${by}; join it with one, or spread over something else`, `without a ${by}`);
}

function rejectTaken(by: SpreadField, group: string): Rejection {
  const where = by === 'cluster' ? 'it' : `${by} ${group}`;
  return reject(
    `${where} has replicas of it already, and what is left must go to another ${by}`,
    `in a ${by} that has its share`,
  );
}
