/**
 * T07: enough devices are free, but not together. Which work would have to move, and within its cluster could, so that
 * they are? A proposal for people: a move stops what runs and starts it again, so nothing moves by itself.
 *
 * Cheapest: the fewest devices moved, then the fewest workloads. Only work that may be preempted is moved, whole, and
 * only where devices are bound by the centre. Everything is tried on the account itself and undone.
 */
import type { CapacityAccount, CapacityDomain, PlaceRequest } from './ports.ts';
import { devicesOf } from './running/charges.ts';
import type { RunningWorkload } from './snapshot.ts';
import type { DefragmentationProposal } from './workload-plan.ts';

/** Domains of a cluster that are tried, those that lack the fewest devices first. */
const DOMAINS_TRIED_MAX = 64;
/** Holders of a domain that are tried, the smallest first. */
const HOLDERS_TRIED_MAX = 64;

interface Moves {
  readonly domain: string;
  readonly moved: readonly RunningWorkload[];
  readonly devices: number;
}

/** What a holder has there that might move: one, or none. */
type Movable = (holderId: string) => readonly RunningWorkload[];

/** Null: it has a place, or no moves would make one. Leaves the account as it was. */
export function proposeDefragmentation(
  capacity: CapacityAccount,
  request: PlaceRequest,
  runningOf: (holderId: string) => RunningWorkload | undefined,
): DefragmentationProposal | null {
  if (capacity.find(request) !== null) return null;
  let best: (Moves & { readonly clusterId: string }) | null = null;
  for (const { clusterId } of capacity.eligible(request)) {
    const movable = (holderId: string) => {
      const running = runningOf(holderId);
      return running !== undefined && isMovable(running, clusterId) ? [running] : [];
    };
    const moves = cheapestMoves(new Trial(capacity, request, clusterId), movable);
    if (moves !== null && (best === null || isCheaper(moves, best))) best = { ...moves, clusterId };
  }
  return best === null ? null : toProposal(request, best.clusterId, best);
}

function isMovable({ preemptible, isEnding, tasks }: RunningWorkload, clusterId: string): boolean {
  return preemptible && !isEnding && tasks.every((task) => task.clusterId === clusterId && task.devices !== null);
}

/** What-ifs of one request in one cluster. */
class Trial {
  readonly wanted: number;

  constructor(
    readonly capacity: CapacityAccount,
    readonly request: PlaceRequest,
    readonly clusterId: string,
  ) {
    this.wanted = request.claim.count * request.gang.minimum;
  }

  /** Whether the request fits once these are gone from where they are, and they fit elsewhere beside it. */
  works(moved: readonly RunningWorkload[]): boolean {
    const { capacity, request, clusterId } = this;
    const mark = capacity.mark();
    for (const { holderId } of moved) capacity.release(holderId);
    const works = [request, ...moved.map(toRequest)].every((each) => {
      const placed = capacity.find(each, new Set([clusterId]));
      if (placed !== null) capacity.take(`moved ${each.workloadId}`, each.claim, placed.tasks);
      return placed !== null;
    });
    capacity.rollback(mark);
    return works;
  }
}

function cheapestMoves(trial: Trial, movable: Movable): Moves | null {
  const { capacity, clusterId, request, wanted } = trial;
  const domains = capacity
    .domains(clusterId, request)
    .filter(({ holders }) => holders.size > 0)
    .toSorted((left, right) => right.freeDevices - left.freeDevices)
    .slice(0, DOMAINS_TRIED_MAX);
  let best: Moves | null = null;
  for (const domain of domains) {
    if (best !== null && wanted - domain.freeDevices > best.devices) break;
    const moves = movesOutOf(domain, trial, movable);
    if (moves !== null && (best === null || isCheaper(moves, best))) best = moves;
  }
  return best;
}

/** The smaller of: one holder alone, or the smallest ones together, of whom none can be spared. */
function movesOutOf(domain: CapacityDomain, trial: Trial, movable: Movable): Moves | null {
  const there = [...domain.holders.keys()]
    .flatMap(movable)
    .sort((left, right) => devicesOf(left) - devicesOf(right))
    .slice(0, HOLDERS_TRIED_MAX);
  const lone = there.find((each) => trial.works([each]));
  const several = smallestTogether(there, trial);
  const options = [lone === undefined ? null : [lone], several]
    .filter((moved) => moved !== null)
    .map((moved) => ({ domain: domain.name, moved, devices: moved.reduce((sum, each) => sum + devicesOf(each), 0) }));
  return options.reduce<Moves | null>((best, each) => (best === null || isCheaper(each, best) ? each : best), null);
}

function smallestTogether(there: readonly RunningWorkload[], trial: Trial): RunningWorkload[] | null {
  const enough = there.findIndex((_, index) => trial.works(there.slice(0, index + 1)));
  if (enough === -1) return null;
  let kept = there.slice(0, enough + 1);
  for (const spared of kept.toReversed()) {
    const rest = kept.filter((each) => each !== spared);
    if (rest.length > 0 && trial.works(rest)) kept = rest;
  }
  return kept;
}

/** All of it again, in the same cluster. */
function toRequest({ id, claim, gang, tasks }: RunningWorkload): PlaceRequest {
  return {
    workloadId: id,
    claim,
    gang: { ...gang, size: tasks.length, minimum: tasks.length },
    selector: {},
    avoidClusterIds: [],
    preferredClusterIds: [],
  };
}

function isCheaper(left: Moves, right: Moves): boolean {
  if (left.devices !== right.devices) return left.devices < right.devices;
  return left.moved.length < right.moved.length;
}

function toProposal({ workloadId }: PlaceRequest, clusterId: string, moves: Moves): DefragmentationProposal {
  return {
    workloadId,
    clusterId,
    domain: moves.domain,
    moves: moves.moved.map((each) => ({
      holderId: each.holderId,
      workloadId: each.id,
      deviceCount: devicesOf(each),
    })),
  };
}
