/**
 * Whose room a workload that found none may have: the victims that lose least, in exactly one central cluster (P21).
 *
 * Room that is coming anyway, from what already ends, is used before anyone is evicted (P09). Then every domain proposes
 * the cheapest of its candidates that would free enough (victim-set.ts); the proposal that loses least is tried on the
 * account: only if the whole gang then fits, in devices, memory, links, topology and quota, is it taken (P04, P18, G03),
 * and whoever can be spared is (P06). A victim gang ends whole (G04). What was chosen in this cycle, or started in it, is
 * no candidate, so that nothing cascades (G06).
 *
 * Bounds: `preemptionDomainsMax` domains are looked at for one preemptor, PROPOSALS_TRIED_MAX are tried. Leaves to the
 * cycle: what is nominated and written down. Source of the criteria and their order: SCHEDULING P01–P18, after
 * kube-scheduler's `pickOneNodeForPreemption`.
 */
import type { Node, ResourceClaim, TopologyScope } from '#domain';
import type { Cycle } from './cycle-state.ts';
import { type GangUnit, gangSet } from './gang-victims.ts';
import type { CapacityDomain, Placed, PlaceRequest, QuotaRejection } from './ports.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload } from './snapshot.ts';
import { cheapestSet, compareLosses, type Loss, lossOf, type VictimOption } from './victim-set.ts';
import { Rights, type Victim } from './victims.ts';
import type { PlannedStop } from './workload-plan.ts';

/** Proposals that count enough devices but turn out not to fit (memory, links, quota) are passed over, so often. */
const PROPOSALS_TRIED_MAX = 200;

export interface Option extends VictimOption {
  readonly victim: Victim;
  readonly cause: PlannedStop['cause'];
}

export interface Eviction {
  /** Empty: what ends anyway is enough. */
  readonly victims: readonly Option[];
  /** Where it will run once they are gone. */
  readonly placed: Placed;
}

interface Proposal {
  readonly clusterId: string;
  readonly set: readonly Option[];
  /** Candidates from which the cheapest are added as long as the set is not enough. */
  readonly rest: readonly Option[];
  readonly loss: Loss;
  /** Once it was tried and fits. */
  readonly eviction: Eviction | null;
}

/** `rejection`: what the quota has against it now; victims must then be of the queue that is full, or below it. */
export function findEviction(
  cycle: Cycle,
  work: PendingWorkload,
  members: number,
  rejection: QuotaRejection | null,
): Eviction | null {
  return new EvictionSearch(cycle, work, members, rejection).run();
}

class EvictionSearch {
  private readonly request: PlaceRequest;
  private readonly devices: number;
  private readonly rights: Rights;
  private readonly clusterIds: readonly string[];
  /** Queue → its place among those that borrow most. */
  private readonly borrowerRanks: ReadonlyMap<string, number>;

  constructor(
    private readonly cycle: Cycle,
    private readonly work: PendingWorkload,
    members: number,
    private readonly rejection: QuotaRejection | null,
  ) {
    const { outlook, clusters, quota, queues } = cycle;
    this.request = requestOf(work, members);
    this.devices = work.claim.count * members;
    this.rights = new Rights(quota, queues, work, this.devices);
    const eligible = outlook.coming.eligible(this.request).map(({ clusterId }) => clusterId);
    this.clusterIds = eligible.filter((clusterId) => clusters.get(clusterId)?.kind === 'central');
    const inOrder = [...queues.keys()].sort((left, right) => quota.compareBorrowers(left, right));
    this.borrowerRanks = new Map(inOrder.map((queueId, rank) => [queueId, rank]));
  }

  run(): Eviction | null {
    if (this.clusterIds.length === 0) return null;
    return this.coveredByEnding() ?? this.cheapest(this.propose());
  }

  private coveredByEnding(): Eviction | null {
    if (!this.cycle.outlook.isParted || this.rejection !== null) return null;
    const placed = this.cycle.outlook.coming.find(this.request, new Set(this.clusterIds));
    return placed === null ? null : { victims: [], placed };
  }

  private propose(): Proposal[] {
    const proposals: Proposal[] = [];
    let left = this.cycle.policy.preemptionDomainsMax;
    for (const clusterId of this.clusterIds) {
      const domains = this.cycle.outlook.coming.domains(clusterId, this.unitRequest()).slice(0, left);
      left -= domains.length;
      if (this.request.gang.size > 1) proposals.push(...this.proposeForGang(clusterId, domains));
      else for (const domain of domains) proposals.push(...this.proposeForOne(clusterId, domain));
      if (this.rejection !== null) proposals.push(this.proposeForQuota(clusterId, domains));
    }
    return proposals;
  }

  /** Asks for the domains of a single member; link domains are left to the account. */
  private unitRequest(): PlaceRequest {
    const { claim, gang } = this.request;
    if (gang.size === 1) return this.request;
    const alone = { size: 1, minimum: 1, topology: null, spansClusters: false };
    const isLinked = claim.schedulingPolicy.topologyScope === 'link';
    const schedulingPolicy: ResourceClaim['schedulingPolicy'] = isLinked
      ? { topologyScope: 'node' }
      : claim.schedulingPolicy;
    return { ...this.request, claim: { ...claim, schedulingPolicy }, gang: alone };
  }

  private proposeForOne(clusterId: string, domain: CapacityDomain): Proposal[] {
    const { count } = this.work.claim;
    if (domain.totalDevices < count) return [];
    const options = this.optionsIn(domain);
    const set = cheapestSet(options, Math.max(1, count - domain.freeDevices));
    return set === null ? [] : [proposalOf(clusterId, set, options)];
  }

  private proposeForGang(clusterId: string, domains: readonly CapacityDomain[]): Proposal[] {
    const groups = Map.groupBy(domains, this.groupingIn(clusterId));
    return [...groups.values()].flatMap((group) => {
      const units = group.map(
        (domain): GangUnit<Option> => ({ free: domain.freeDevices, options: this.optionsIn(domain) }),
      );
      const set = gangSet(units, this.request.gang.minimum, this.work.claim.count);
      return set === null ? [] : [proposalOf(clusterId, set, distinct(units.flatMap(({ options }) => options)))];
    });
  }

  /** Domain → the wider one that all members must share; one for the whole cluster where they need not. */
  private groupingIn(clusterId: string): (domain: CapacityDomain) => string {
    const { topology } = this.request.gang;
    if (topology?.required !== true) return () => '';
    const nodes = new Map(this.cycle.clusters.get(clusterId)!.nodes.map((node) => [node.name, node]));
    return ({ name }) => groupOf(nodes.get(name), topology.scope);
  }

  /** Anything of the full queue in the cluster may do. */
  private proposeForQuota(clusterId: string, domains: readonly CapacityDomain[]): Proposal {
    return proposalOf(clusterId, [], distinct(domains.flatMap((domain) => this.optionsIn(domain))));
  }

  private optionsIn({ holders }: CapacityDomain): Option[] {
    const options: Option[] = [];
    let hasBudgets = false;
    for (const [holderId, devices] of holders) {
      const victim = this.cycle.victims.of(holderId);
      if (victim === undefined || !this.isOfFullQueue(victim)) continue;
      const cause = this.rights.over(victim);
      if (cause === null) continue;
      hasBudgets ||= victim.running.budget !== null;
      const { priority, startedAtMs, queueId } = victim.running;
      const borrowerRank = cause === 'reclaimed' ? this.borrowerRanks.get(queueId)! : 0;
      options.push({ victim, cause, devices, priority, overdraws: 0, borrowerRank, cost: victim.cost, startedAtMs });
    }
    return hasBudgets ? this.withOverdrafts(options) : options;
  }

  private isOfFullQueue({ running }: Victim): boolean {
    if (this.rejection === null) return true;
    for (let at: string | null = running.queueId; at !== null; at = this.cycle.queues.get(at)?.parentId ?? null) {
      if (at === this.rejection.queueId) return true;
    }
    return false;
  }

  /** Of each disruption budget the cheapest may go, as many as it allows; each further one overdraws it. */
  private withOverdrafts(options: readonly Option[]): Option[] {
    const used = new Map<string, number>();
    return [...options].sort(byLossPerDevice).map((option) => {
      const { budget } = option.victim.running;
      if (budget === null) return option;
      const before = used.get(budget.id) ?? 0;
      used.set(budget.id, before + 1);
      return before < this.cycle.victims.budgetLeft(option.victim) ? option : { ...option, overdraws: 1 as const };
    });
  }

  private cheapest(proposals: Proposal[]): Eviction | null {
    for (let tried = 0; tried < PROPOSALS_TRIED_MAX && proposals.length > 0; tried += 1) {
      const at = leastOf(proposals);
      const { eviction, clusterId } = proposals[at]!;
      if (eviction !== null) return eviction;
      const fitting = this.tryOut(proposals[at]!);
      if (fitting === null) proposals[at] = proposals.at(-1)!;
      if (fitting === null) proposals.pop();
      else proposals[at] = { clusterId, set: [], rest: [], loss: lossOf(fitting.victims), eviction: fitting };
    }
    return null;
  }

  /** A what-if on the accounts: undone before it returns. */
  private tryOut({ clusterId, set, rest }: Proposal): Eviction | null {
    const { quota, outlook } = this.cycle;
    const marks = { devices: outlook.coming.mark(), quota: quota.mark() };
    const within = new Set([clusterId]);
    const ended: Option[] = [];
    const end = (option: Option) => {
      if (this.rights.over(option.victim) === null) return;
      ended.push(option);
      this.end(option.victim);
    };
    set.forEach(end);
    let placed = this.placeWithin(within);
    const more = placed === null ? rest.filter((option) => !set.includes(option)).sort(byLossPerDevice) : [];
    for (let next = 0; placed === null && next < more.length; next += 1) {
      end(more[next]!);
      placed = this.placeWithin(within);
    }
    const eviction = placed === null ? null : this.spare(ended, placed, within);
    outlook.coming.rollback(marks.devices);
    quota.rollback(marks.quota);
    return eviction;
  }

  /** Gives back, the dearest first, whom it does not need (P06). */
  private spare(ended: readonly Option[], placed: Placed, within: ReadonlySet<string>): Eviction {
    let where = placed;
    const victims = [...ended];
    for (const option of [...ended].sort(byLossPerDevice).reverse()) {
      if (victims.length === 1) break;
      this.restore(option.victim);
      const without = this.placeWithin(within);
      if (without === null) this.end(option.victim);
      else {
        where = without;
        victims.splice(victims.indexOf(option), 1);
      }
    }
    return { victims, placed: where };
  }

  private placeWithin(clusterIds: ReadonlySet<string>): Placed | null {
    const { quota, outlook } = this.cycle;
    const { queueId, claim } = this.work;
    if (this.rejection !== null && quota.admits(queueId, claim.deviceType, this.devices) !== null) return null;
    return outlook.coming.find(this.request, clusterIds);
  }

  private end({ running, devices }: Victim): void {
    this.cycle.outlook.coming.release(running.holderId);
    this.cycle.quota.refund(running.queueId, running.claim.deviceType, devices);
  }

  private restore({ running, devices }: Victim): void {
    this.cycle.outlook.coming.take(running.holderId, running.claim, running.tasks);
    this.cycle.quota.charge(running.queueId, running.claim.deviceType, devices);
  }
}

/** One of each victim, though it has devices in several domains. */
function distinct(options: readonly Option[]): Option[] {
  return [...new Map(options.map((option) => [option.victim, option])).values()];
}

/** As the topology of a cluster has it: what names no rack or zone is one of its own. */
function groupOf(node: Node | undefined, scope: TopologyScope): string {
  if (node === undefined || scope === 'cluster') return '';
  const rack = node.rack === undefined ? `node ${node.name}` : `rack ${node.zone ?? ''} ${node.rack}`;
  if (scope === 'zone') return node.zone === undefined ? rack : `zone ${node.zone}`;
  return scope === 'rack' ? rack : `node ${node.name}`;
}

function proposalOf(clusterId: string, set: readonly Option[], options: readonly Option[]): Proposal {
  return { clusterId, set, rest: options, loss: lossOf(set), eviction: null };
}

function leastOf(proposals: readonly Proposal[]): number {
  let least = 0;
  for (let at = 1; at < proposals.length; at += 1) {
    if (compareLosses(proposals[at]!.loss, proposals[least]!.loss) < 0) least = at;
  }
  return least;
}

function byLossPerDevice(left: Option, right: Option): number {
  return (
    left.overdraws - right.overdraws ||
    left.priority - right.priority ||
    left.borrowerRank - right.borrowerRank ||
    left.cost / left.devices - right.cost / right.devices ||
    right.startedAtMs - left.startedAtMs ||
    (left.victim.running.holderId < right.victim.running.holderId ? -1 : 1)
  );
}
