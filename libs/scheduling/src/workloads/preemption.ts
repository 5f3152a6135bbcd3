/**
 * Whose room a workload that found none may have: the victims that lose least, in exactly one central cluster (P21).
 *
 * Room that is coming anyway, from what already ends, is used before anyone is evicted (P09). Then every domain proposes
 * the cheapest of its candidates that would free enough (victim-set.ts); the proposal that loses least is tried on the
 * accounts: only if the whole gang then fits, in devices, memory, links, topology and quota, is it taken (P04, P18, G03),
 * and whoever can be spared is (P06). A victim gang ends whole (G04). What was chosen in this cycle, or started in it, is
 * no candidate, so that nothing cascades (G06).
 *
 * Bounds: `preemptionDomainsMax` domains are looked at for one preemptor, PROPOSALS_TRIED_MAX are tried. Leaves to the
 * cycle: what is nominated and written down. Source of the criteria and their order: SCHEDULING P01–P18, after
 * kube-scheduler's `pickOneNodeForPreemption`.
 */
import type { ResourceClaim } from '#domain';
import type { Cycle } from './cycle-state.ts';
import { byLossPerDevice, distinct, EvictionOptions, type Option } from './eviction-options.ts';
import { type Proposal, ProposalQueue } from './eviction-proposals.ts';
import { type GangUnit, gangSet, groupOf } from './gang-victims.ts';
import type { CapacityDomain, Placed, PlaceRequest, QuotaRejection } from './ports.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload } from './snapshot.ts';
import { cheapestSet, lossOf } from './victim-set.ts';
import type { Victim } from './victims.ts';

/** Proposals that count enough devices but turn out not to fit (memory, links, quota) are passed over, so often. */
const PROPOSALS_TRIED_MAX = 200;

export interface Eviction {
  /** Empty: what ends anyway is enough. */
  readonly victims: readonly Option[];
  /** Where it will run once they are gone. */
  readonly placed: Placed;
}

/**
 * For one kind of preemptor: of one shape, so many members, one priority and one queue. `rejection`: what the quota has
 * against it now; where a queue is full, victims must be of it or below it.
 */
export class EvictionSearch {
  private readonly options: EvictionOptions;
  private readonly devices: number;
  private proposals = new ProposalQueue();
  /** Cluster → its domains when they were last looked at. */
  private seen = new Map<string, readonly CapacityDomain[]>();

  constructor(
    private readonly cycle: Cycle,
    private readonly kind: PendingWorkload,
    private readonly members: number,
    private readonly rejection: QuotaRejection | null,
  ) {
    this.devices = kind.claim.count * members;
    this.options = new EvictionOptions(cycle, kind, this.devices, rejection);
  }

  /** `work` is of the kind. Null: nobody may be asked, or it would not help. */
  run(work: PendingWorkload): Eviction | null {
    const request = requestOf(work, this.members);
    const clusterIds = this.centralOf(request);
    if (clusterIds.length === 0) return null;
    const covered = this.coveredByEnding(request, clusterIds);
    if (covered !== null) return covered;
    this.options.rights.forget();
    if (!this.options.anyIn(clusterIds, request.claim.deviceType)) return null;
    this.propose(request, clusterIds);
    return this.cheapest(request);
  }

  private centralOf(request: PlaceRequest): string[] {
    const { outlook, clusters } = this.cycle;
    const eligible = outlook.coming.eligible(request).map(({ clusterId }) => clusterId);
    return eligible.filter((clusterId) => clusters.get(clusterId)?.kind === 'central');
  }

  private coveredByEnding(request: PlaceRequest, clusterIds: readonly string[]): Eviction | null {
    if (!this.cycle.outlook.isParted || this.rejection !== null) return null;
    const placed = this.cycle.outlook.coming.find(request, new Set(clusterIds));
    return placed === null ? null : { victims: [], placed };
  }

  /** Asks each cluster for its domains; those that are as they were keep their proposals. */
  private propose(request: PlaceRequest, clusterIds: readonly string[]): void {
    const isKept = request.gang.size === 1 && this.rejection === null;
    if (!isKept) this.proposals = new ProposalQueue();
    let left = this.cycle.policy.preemptionDomainsMax;
    for (const clusterId of clusterIds) {
      const domains = this.cycle.outlook.coming.domains(clusterId, ofOneMember(request)).slice(0, left);
      left -= domains.length;
      if (request.gang.size > 1) this.proposeForGang(request, clusterId, domains);
      else this.proposeForOne(clusterId, domains, isKept ? (this.seen.get(clusterId) ?? []) : []);
      if (this.rejection !== null) this.proposeForQuota(clusterId, domains);
      this.seen.set(clusterId, domains);
    }
  }

  private proposeForOne(
    clusterId: string,
    domains: readonly CapacityDomain[],
    before: readonly CapacityDomain[],
  ): void {
    domains.forEach((domain, index) => {
      const known = before[index];
      if (known === domain) return;
      if (known !== undefined) this.proposals.outdate(known);
      const loss = this.options.lossAtLeast(domain, this.needIn(domain));
      if (loss !== null) this.proposals.push({ clusterId, domain, set: null, rest: [], loss });
    });
  }

  private needIn({ freeDevices }: CapacityDomain): number {
    return Math.max(1, this.kind.claim.count - freeDevices);
  }

  private proposeForGang(request: PlaceRequest, clusterId: string, domains: readonly CapacityDomain[]): void {
    const { topology, minimum } = request.gang;
    const nodes = new Map(this.cycle.clusters.get(clusterId)!.nodes.map((node) => [node.name, node]));
    const scope = topology?.required === true ? topology.scope : 'cluster';
    for (const group of Map.groupBy(domains, ({ firstNode }) => groupOf(nodes.get(firstNode)!, scope)).values()) {
      const units = group.map(
        (domain): GangUnit<Option> => ({ free: domain.freeDevices, options: this.options.of(domain) }),
      );
      const set = gangSet(units, minimum, this.kind.claim.count);
      if (set === null) continue;
      const rest = distinct(units.flatMap(({ options }) => options));
      this.proposals.push({ clusterId, domain: null, set, rest, loss: lossOf(set) });
    }
  }

  /** Anything of the full queue in the cluster may do; what it loses shows when it is tried. */
  private proposeForQuota(clusterId: string, domains: readonly CapacityDomain[]): void {
    const rest = distinct(domains.flatMap((domain) => this.options.of(domain)));
    this.proposals.push({ clusterId, domain: null, set: [], rest, loss: lossOf([]) });
  }

  private cheapest(request: PlaceRequest): Eviction | null {
    for (let tried = 0; tried < PROPOSALS_TRIED_MAX; ) {
      const proposal = this.proposals.pop();
      if (proposal === null) return null;
      if (proposal.set === null) {
        this.chooseIn(proposal);
        continue;
      }
      tried += 1;
      const eviction = this.tryOut(request, proposal, proposal.set);
      if (eviction === null) continue;
      const loss = { ...lossOf(eviction.victims), stays: proposal.loss.stays };
      if (!this.proposals.hasLess(loss)) return eviction;
      this.proposals.pushAgain({ ...proposal, set: eviction.victims, loss });
    }
    return null;
  }

  /** A domain that got to the front with its lower bound chooses its victims, and queues again with what they lose. */
  private chooseIn(proposal: Proposal): void {
    const { domain, loss } = proposal;
    const rest = this.options.of(domain!);
    const set = cheapestSet(rest, this.needIn(domain!));
    if (set !== null) this.proposals.pushAgain({ ...proposal, set, rest, loss: { ...lossOf(set), stays: loss.stays } });
  }

  /** A what-if on the accounts, undone before it returns. */
  private tryOut(request: PlaceRequest, { clusterId, rest }: Proposal, set: readonly Option[]): Eviction | null {
    const { quota, outlook } = this.cycle;
    const marks = { devices: outlook.coming.mark(), quota: quota.mark() };
    const within = new Set([clusterId]);
    const ended: Option[] = [];
    const end = (option: Option) => {
      if (this.options.rights.over(option.victim) === null) return;
      ended.push(option);
      this.end(option.victim);
    };
    set.forEach(end);
    let placed = this.placeWithin(request, within);
    const chosen = new Set(set.map(({ victim }) => victim));
    const more = placed === null ? rest.filter(({ victim }) => !chosen.has(victim)).sort(byLossPerDevice) : [];
    for (let next = 0; placed === null && next < more.length; next += 1) {
      end(more[next]!);
      placed = this.placeWithin(request, within);
    }
    const eviction = placed === null ? null : this.spare(request, ended, placed, within);
    outlook.coming.rollback(marks.devices);
    quota.rollback(marks.quota);
    return eviction;
  }

  /** Gives back, the dearest first, whom it does not need (P06). */
  private spare(
    request: PlaceRequest,
    ended: readonly Option[],
    placed: Placed,
    within: ReadonlySet<string>,
  ): Eviction {
    let where = placed;
    const victims = [...ended];
    for (const option of [...ended].sort(byLossPerDevice).reverse()) {
      if (victims.length === 1) break;
      this.restore(option.victim);
      const without = this.placeWithin(request, within);
      if (without === null) this.end(option.victim);
      else {
        where = without;
        victims.splice(victims.indexOf(option), 1);
      }
    }
    return { victims, placed: where };
  }

  private placeWithin(request: PlaceRequest, clusterIds: ReadonlySet<string>): Placed | null {
    const { quota, outlook } = this.cycle;
    const { queueId, claim } = this.kind;
    if (this.rejection !== null && quota.admits(queueId, claim.deviceType, this.devices) !== null) return null;
    return outlook.coming.find(request, clusterIds);
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

/** Whose domains are those of a single member; link domains of a gang's members are left to the account. */
function ofOneMember(request: PlaceRequest): PlaceRequest {
  const { claim, gang } = request;
  if (gang.size === 1) return request;
  const alone = { size: 1, minimum: 1, topology: null, spansClusters: false };
  const { topologyScope } = claim.schedulingPolicy;
  const schedulingPolicy: ResourceClaim['schedulingPolicy'] = {
    topologyScope: topologyScope === 'link' ? 'node' : topologyScope,
  };
  return { ...request, claim: { ...claim, schedulingPolicy }, gang: alone };
}
