/**
 * Replaces replicas of an outdated version where they are. A change of version is no reason to move: the replacement is
 * started in the same cluster beside the old replica, or, without room for both, in its place. Another cluster is taken
 * only when this one cannot run the new version at all, or when stopping the old replica first would end the service.
 */
import type { Deployment, Placement } from '#domain';
import { assignBest } from './assign.ts';
import { type Candidate, judgeCandidates, judgeOneCluster } from './candidates.ts';
import { FILTERS, rejectWhere } from './filters.ts';
import type { PlannedAssignment, PlannedChange } from './plan.ts';
import type { Rejection } from './selector-filters.ts';
import { isBeside } from './side-by-side.ts';
import { firstToSpare, Spread } from './spread.ts';
import { isGivenUp, isOutdated, type Standing } from './standing.ts';
import { drainInPlace, serviceOf } from './withdraw.ts';
import type { WorkingFleet } from './working-fleet.ts';

/**
 * Where the replacement of an outgoing replica belongs.
 * here: its own cluster; not-now: its own cluster, once that is heard of again; elsewhere: another cluster that should run
 * the new version, because its own cannot take it; anywhere: it is not the version that ends it, or its cluster is given up.
 */
type ReplacementPlace = 'here' | 'not-now' | 'elsewhere' | 'anywhere';

function replacementPlace(fleet: WorkingFleet, deployment: Deployment, standing: Standing): ReplacementPlace {
  const { placement } = standing;
  const here = standing.here!;
  if (!isOutdated(fleet, deployment, placement) || rejectWhere(here, deployment) !== null) return 'anywhere';
  const { phase } = here.cluster;
  if (phase === 'Suspect' || phase === 'Unknown')
    return isGivenUp(fleet, deployment, here) && !fleet.isMassUnknown ? 'anywhere' : 'not-now';
  if (phase !== 'Ready') return 'anywhere';
  return fitsInPlace(fleet, deployment, standing) ? 'here' : 'elsewhere';
}

/** Whether the new replica would fit here if the old one were gone. */
function fitsInPlace(fleet: WorkingFleet, deployment: Deployment, { placement, here }: Standing): boolean {
  const failedIn = fleet.failedIn(deployment.id);
  const passes = FILTERS.every(
    ({ name, reject }) => name === 'devices' || reject(here!, deployment, failedIn) === null,
  );
  return passes && here!.ledger.fitsWithout(placement.id, deployment.claim, deployment.serving.nodes);
}

/** What goes of a deployment's outgoing replicas, and in which order. */
interface ReplacementOrder {
  readonly order: readonly Standing[];
  /** Those whose replacement exists; first in the order. */
  readonly replaced: ReadonlySet<Standing>;
  /** Of those, the ones that go although fewer than wanted are left: the places of the others are for other groups. */
  readonly spared: ReadonlySet<Standing>;
}

/**
 * The order in which outgoing replicas are drained: first those whose replacement exists, so that each goes for its own,
 * then what does not serve, then where replacing has begun. Replacements that are not used up yet are `begun` of the kept
 * ones, as many as there are beyond what is wanted: taken for them are those that do not serve, then the youngest.
 */
export function inReplacementOrder(
  outgoing: readonly Standing[],
  kept: readonly Standing[],
  begun: number,
): ReplacementOrder {
  const replaced = new Set<Standing>();
  const byUse = [...kept].sort(
    (left, right) =>
      Number(left.isServing) - Number(right.isServing) ||
      right.placement.createdAt.getTime() - left.placement.createdAt.getTime(),
  );
  for (const { placement } of byUse) {
    if (replaced.size >= begun) break;
    const own = outgoing.find(
      (standing) => !replaced.has(standing) && standing.placement.clusterId === placement.clusterId,
    );
    if (own !== undefined) replaced.add(own);
  }
  return { order: inOrder(outgoing, kept, replaced), replaced, spared: new Set() };
}

function inOrder(
  outgoing: readonly Standing[],
  kept: readonly Standing[],
  replaced: ReadonlySet<Standing>,
): Standing[] {
  const newIn = new Set(kept.map(({ placement }) => placement.clusterId));
  const rank = (standing: Standing) => [
    replaced.has(standing) ? 0 : 1,
    Number(standing.mayServe),
    newIn.has(standing.placement.clusterId) ? 0 : 1,
    serviceOf(standing),
  ];
  return outgoing
    .map((standing) => ({ standing, rank: rank(standing) }))
    .sort((left, right) => {
      const at = left.rank.findIndex((value, index) => value !== right.rank[index]);
      return at === -1 ? 0 : left.rank[at]! - right.rank[at]!;
    })
    .map(({ standing }) => standing);
}

/**
 * The same of a deployment that is spread. While places are kept back for groups that have no replica, old and new ones
 * together are no more than wanted and yet too many: what has its replacement by name is replaced, and goes once that
 * serves. Of what is simply too much, those go first that the spread can spare, among equally good ones.
 *
 * @param staying what is kept, and what is lost but counts
 */
export function inSpreadOrder(
  fleet: WorkingFleet,
  deployment: Deployment,
  wanted: number,
  plain: ReplacementOrder,
  staying: readonly Standing[],
  begun: number,
): ReplacementOrder {
  if (deployment.spread === null) return plain;
  const { excess } = Spread.of(fleet, deployment, wanted, [...staying, ...plain.order]);
  const successors = excess > begun ? successorsOf(plain.order, staying) : new Map<Standing, Standing>();
  const named = [...successors.keys()].slice(0, excess);
  const replaced = new Set(named);
  for (const standing of plain.replaced) if (replaced.size < begun) replaced.add(standing);
  const spared = named.filter((standing) => successors.get(standing)!.isServing);
  const order = inOrder(plain.order, staying, replaced);
  const rest = order.slice(replaced.size);
  const first: Standing[] = [];
  while (first.length < begun - replaced.size && rest.length > 0) {
    const equal = rest.filter((standing) => serviceOf(standing) === serviceOf(rest[0]!));
    const others = rest.filter((standing) => !equal.includes(standing));
    const spare = firstToSpare(fleet, deployment, wanted, equal, [...others, ...staying])!;
    rest.splice(rest.indexOf(spare), 1);
    first.push(spare);
  }
  return {
    order: [...order.slice(0, replaced.size), ...first, ...rest],
    replaced,
    spared: new Set(replaced.size > begun ? spared : []),
  };
}

/** Of outgoing replicas, those for which a certain kept one was started: by name, or beside it before a strict switch. */
function successorsOf(outgoing: readonly Standing[], kept: readonly Standing[]): ReadonlyMap<Standing, Standing> {
  const successors = new Map<Standing, Standing>();
  const free = new Set(kept);
  for (const standing of outgoing) {
    const { id, clusterId } = standing.placement;
    const successor = [...free].find(({ placement }) => {
      return replacedBy(placement) === id || (placement.clusterId === clusterId && isBeside(placement));
    });
    if (successor === undefined) continue;
    successors.set(standing, successor);
    free.delete(successor);
  }
  return successors;
}

/** How the reason of a replica begins that was started for a certain other one. */
const REPLACES = 'in the place of ';

function namingReplaced(deployment: Deployment, assignment: PlannedAssignment, { placement }: Standing) {
  return deployment.spread === null
    ? assignment
    : { ...assignment, reason: `${REPLACES}${placement.id}: ${assignment.reason}` };
}

/** The id of the replica that this one was started for; null: for none. */
function replacedBy({ reason }: Pick<Placement, 'reason'>): string | null {
  return reason.startsWith(REPLACES) ? reason.slice(REPLACES.length).split(':')[0]! : null;
}

/** A replica still to be replaced because of its version, and where that may be. */
export interface Upgrade {
  readonly standing: Standing;
  readonly place: Exclude<ReplacementPlace, 'anywhere'>;
}

export function upgradesOf(fleet: WorkingFleet, deployment: Deployment, outgoing: readonly Standing[]): Upgrade[] {
  return outgoing.flatMap((standing) => {
    const place = replacementPlace(fleet, deployment, standing);
    return place === 'anywhere' ? [] : [{ standing, place }];
  });
}

/**
 * Starts up to `count` replacements. `left` are the upgrades that found no room now, `candidates` the clusters that were
 * judged for them.
 */
export function assignUpgrades(
  fleet: WorkingFleet,
  deployment: Deployment,
  upgrades: readonly Upgrade[],
  count: number,
  newIn: ReadonlySet<string>,
  spread: Spread,
): { assign: PlannedAssignment[]; left: Upgrade[]; candidates: readonly Candidate[] } {
  const assign: PlannedAssignment[] = [];
  const left = [...upgrades];
  while (assign.length < count && left.length > 0) {
    const found = takeNext(fleet, deployment, left, newIn, spread);
    if (found === null) break;
    assign.push(found);
  }
  const candidates = assign.length < count ? judgePlaces(fleet, deployment, left, spread) : [];
  return { assign, left, candidates };
}

/** Those that do not serve, then begun clusters, then the best score among the rest; takes what it replaces off `left`. */
function takeNext(
  fleet: WorkingFleet,
  deployment: Deployment,
  left: Upgrade[],
  newIn: ReadonlySet<string>,
  spread: Spread,
): PlannedAssignment | null {
  const groups = Map.groupBy(left, ({ standing: { mayServe, placement }, place }) =>
    place === 'here' ? Number(mayServe) * 2 + Number(!newIn.has(placement.clusterId)) : 4,
  );
  for (const key of [...groups.keys()].sort()) {
    const group = groups.get(key)!;
    const assignment = assignBest(fleet, deployment, judgePlaces(fleet, deployment, group, spread));
    if (assignment === null) continue;
    const own = group.find(({ standing }) => standing.placement.clusterId === assignment.clusterId);
    const replaced = own ?? group.find(({ place }) => place === 'elsewhere')!;
    left.splice(left.indexOf(replaced), 1);
    spread.move(replaced.standing.placement.clusterId, assignment.clusterId);
    return namingReplaced(deployment, assignment, replaced.standing);
  }
  return null;
}

/** The clusters in which some of these replicas may be replaced; of a version that only changes, the spread does not ask. */
function judgePlaces(
  fleet: WorkingFleet,
  deployment: Deployment,
  upgrades: readonly Upgrade[],
  spread: Spread,
): readonly Candidate[] {
  const astray = upgrades.find(({ place }) => place === 'elsewhere');
  if (astray !== undefined) {
    const moving = spread.without(astray.standing.placement.clusterId);
    return moving.judge(judgeElsewhere(fleet, deployment, astray.standing));
  }
  const own = new Set(upgrades.map(({ standing }) => standing.placement.clusterId));
  return [...own].map((id) => judgeOneCluster(fleet, deployment, fleet.clusters.get(id)!));
}

const NOT_YET: Rejection = { because: 'the rollout has not come here yet', summary: 'not reached by the rollout' };

/** Every cluster, as a place for the version that the replica should be of. */
function judgeElsewhere(fleet: WorkingFleet, deployment: Deployment, { placement }: Standing): Candidate[] {
  const versionId = fleet.versionFor(deployment, placement.clusterId);
  return judgeCandidates(fleet, deployment).map((candidate) => {
    const { clusterId, clusterName } = candidate.verdict;
    if (fleet.versionFor(deployment, clusterId) === versionId || candidate.rejection !== null) return candidate;
    const refused = { score: null, scores: {}, rejectedBecause: NOT_YET.because, rejectedBy: 'rollout' };
    return { verdict: { clusterId, clusterName, ...refused }, rejection: NOT_YET };
  });
}

/**
 * For upgrades that are stuck for want of room: stops one old replica first, one at a time, what does not serve before what
 * does. The last one that serves is replaced in another cluster if any has room: an interruption is worse than a move.
 */
export function replaceInPlace(
  fleet: WorkingFleet,
  deployment: Deployment,
  stuck: readonly Upgrade[],
  isLastServing: boolean,
  spread: Spread,
): { assign: PlannedAssignment[]; drain: PlannedChange[] } {
  const replaceable = stuck.filter(({ place }) => place === 'here').map(({ standing }) => standing);
  const chosen = replaceable.find(({ isServing }) => !isServing) ?? replaceable[0];
  if (chosen === undefined) return { assign: [], drain: [] };
  const own = chosen.placement.clusterId;
  const places = () => spread.without(own).judge(judgeElsewhere(fleet, deployment, chosen));
  const elsewhere = chosen.mayServe && isLastServing ? assignBest(fleet, deployment, places()) : null;
  if (elsewhere === null) return { assign: [], drain: [drainInPlace(fleet, chosen)] };
  spread.move(own, elsewhere.clusterId);
  return { assign: [namingReplaced(deployment, elsewhere, chosen)], drain: [] };
}
