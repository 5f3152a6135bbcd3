/**
 * Which replicas the agent keeps beside those that the centre placed (`localScaling`). Pure and level-triggered.
 *
 * Invariants: an extra replica is a copy of a placed one of its deployment and version that is not draining, and ends with
 * the last of them; none is started where a placed replica or a task waits for devices of that type, and extras end where
 * their devices are what it waits for: the newest first, and none that can be spared; placed and extra ones together are
 * never more than `replicasMax`. Devices that the centre bound are the centre's: there are no extras where it binds.
 *
 * How many a deployment needs is decided elsewhere (`libs/scheduling/src/scaling`); here it is only carried out, one start
 * a turn.
 */
import {
  bindDevices,
  type DesiredReplica,
  type DesiredState,
  type DeviceHolding,
  deviceKey,
  deviceKeysOf,
  type Node,
  type NodeDevices,
  type ResourceClaim,
} from '#domain';

export interface ExtraReplica {
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
}

export interface HereReplica {
  readonly replicaId: string;
  readonly isStopping: boolean;
  readonly devices: readonly NodeDevices[];
}

export interface WaitingClaim extends ResourceClaim {
  /** Which nodes it may be on, and likes to. Absent: any. */
  readonly nodes?: DesiredReplica['nodes'];
}

export interface ExtrasInput {
  readonly desired: Pick<DesiredState, 'replicas'>;
  /** Oldest first. */
  readonly extras: readonly ExtraReplica[];
  /** Deployment → replicas that its load asks for, placed and extra. Absent: as many as there are. */
  readonly needed: ReadonlyMap<string, number>;
  readonly nodes: readonly Node[];
  /** Of every kind, stopping ones included. */
  readonly here: readonly HereReplica[];
  /** Of tasks that run. */
  readonly tasks: readonly DeviceHolding[];
  /** Of placed replicas and of tasks that wait for devices. */
  readonly waiting: readonly WaitingClaim[];
  /** False: its engine takes no devices of this agent's nodes, and is scaled by whoever runs it. */
  readonly isScaled: (engine: string | undefined) => boolean;
  /** A new UUIDv7. */
  readonly newId: () => string;
}

export interface ExtrasPlan {
  /** Oldest first. */
  readonly extras: readonly ExtraReplica[];
  /** One sentence for each change. */
  readonly reasons: readonly string[];
}

export function planExtras(input: ExtrasInput): ExtrasPlan {
  const { kept, reasons } = keepFounded(input);
  const spared = giveWay(kept, input);
  const bounded = endUnneeded(spared.extras, input);
  const started = startNeeded(bounded.extras, input);
  return {
    extras: [...bounded.extras, ...started.extras],
    reasons: [...reasons, ...spared.reasons, ...bounded.reasons, ...started.reasons],
  };
}

/** The document with the extras at its end, so that what was placed binds first. */
export function withExtras(desired: DesiredState, extras: readonly ExtraReplica[]): DesiredState {
  const copies = extras.flatMap((extra): DesiredReplica[] => {
    const placed = placedOf(desired, extra);
    return placed === undefined ? [] : [{ ...placed, replicaId: extra.replicaId }];
  });
  return copies.length === 0 ? desired : { ...desired, replicas: [...desired.replicas, ...copies] };
}

/** The placed one that an extra is a copy of. */
function placedOf(
  { replicas }: Pick<DesiredState, 'replicas'>,
  { deploymentId, versionDigest }: Pick<ExtraReplica, 'deploymentId' | 'versionDigest'>,
): DesiredReplica | undefined {
  return replicas.find(
    (each) => each.deploymentId === deploymentId && each.versionDigest === versionDigest && mayHaveExtras(each),
  );
}

function mayHaveExtras({ draining, localScaling, devices }: DesiredReplica): boolean {
  return !draining && localScaling !== undefined && devices === undefined;
}

function keepFounded({ desired, extras, isScaled }: ExtrasInput) {
  const isFounded = (extra: ExtraReplica) => {
    const placed = placedOf(desired, extra);
    return placed !== undefined && isScaled(placed.engine);
  };
  const ended = extras.filter((extra) => !isFounded(extra));
  return {
    kept: extras.filter(isFounded),
    reasons: ended.map(({ replicaId }) => `${replicaId} ends: no placed replica of its version scales by load here`),
  };
}

/** What could not run here without any extra waits for others, and not for them. */
function giveWay(extras: readonly ExtraReplica[], input: ExtrasInput): ExtrasPlan {
  let kept = extras;
  let promised: readonly WaitingClaim[] = [];
  for (const claim of input.waiting) {
    const claims = [...promised, claim];
    const left = fewestEnded(kept, (still) => {
      const wanted = [...unboundOf(still, input), ...claims];
      return placeAll(wanted, afterEnding(still, input), input.nodes) !== null;
    });
    if (left === null) continue;
    kept = left;
    promised = claims;
  }
  const isKept = new Set(kept);
  const ended = extras.filter((extra) => !isKept.has(extra)).toReversed();
  return {
    extras: kept,
    reasons: ended.map(({ replicaId }) => `${replicaId} ends: what the centre placed waits for its devices`),
  };
}

/** Ends the newest until there is room, then spares what need not have ended, the oldest first. Null: there never is. */
function fewestEnded(
  extras: readonly ExtraReplica[],
  hasRoom: (kept: readonly ExtraReplica[]) => boolean,
): readonly ExtraReplica[] | null {
  let count = extras.length;
  while (!hasRoom(extras.slice(0, count))) {
    if (count === 0) return null;
    count -= 1;
  }
  let kept = extras.slice(0, count);
  for (const each of extras.slice(count)) if (hasRoom([...kept, each])) kept = [...kept, each];
  return kept;
}

/** As it will be once the extras that are not kept have gone, and whatever is on its way out. */
function afterEnding(kept: readonly ExtraReplica[], input: ExtrasInput): Occupied {
  const ending = new Set(input.extras.map(({ replicaId }) => replicaId));
  for (const { replicaId } of kept) ending.delete(replicaId);
  const here = input.here.filter(({ replicaId, isStopping }) => !isStopping && !ending.has(replicaId));
  return occupiedBy({ ...input, here }, kept);
}

function endUnneeded(extras: readonly ExtraReplica[], { desired, needed }: ExtrasInput): ExtrasPlan {
  const ended = new Set<string>();
  for (const [deploymentId, { placed, replicasMax }] of deploymentsOf(desired)) {
    const own = extras.filter((extra) => extra.deploymentId === deploymentId);
    const wanted = Math.min(needed.get(deploymentId) ?? placed + own.length, replicasMax) - placed;
    for (const { replicaId } of own.slice(Math.max(0, wanted))) ended.add(replicaId);
  }
  return {
    extras: extras.filter(({ replicaId }) => !ended.has(replicaId)),
    reasons: [...ended].map((replicaId) => `${replicaId} ends: load does not ask for it`),
  };
}

function startNeeded(extras: readonly ExtraReplica[], input: ExtrasInput): ExtrasPlan {
  const { desired, needed, waiting, isScaled, newId, nodes } = input;
  const busyTypes = new Set(waiting.map(({ deviceType }) => deviceType));
  const started: ExtraReplica[] = [];
  let occupied = placeAll(unboundOf(extras, input), occupiedBy(input, extras), nodes);
  for (const [deploymentId, { placed, replicasMax, newest }] of deploymentsOf(desired)) {
    const own = extras.filter((extra) => extra.deploymentId === deploymentId).length;
    const wanted = Math.min(needed.get(deploymentId) ?? 0, replicasMax) - placed;
    if (own >= wanted || !isScaled(newest.engine) || busyTypes.has(newest.claim.deviceType)) continue;
    const room = occupied === null ? null : placeReplica(wishOf(newest), occupied, nodes);
    if (room === null) continue;
    started.push({ replicaId: newId(), deploymentId, versionDigest: newest.versionDigest });
    occupied = room;
  }
  return {
    extras: started,
    reasons: started.map(({ replicaId }) => `${replicaId} starts: load asks for one more`),
  };
}

/** Decided before, and not bound yet: what they need is as good as taken, and where they find none, no other starts. */
function unboundOf(extras: readonly ExtraReplica[], { desired, here }: ExtrasInput): WaitingClaim[] {
  const bound = new Set(here.filter(({ devices }) => devices.length > 0).map(({ replicaId }) => replicaId));
  const copies = extras.filter(({ replicaId }) => !bound.has(replicaId)).map((extra) => placedOf(desired, extra)!);
  return copies.filter(({ claim }) => claim.deviceType !== 'cpu').map(wishOf);
}

function wishOf({ claim, nodes }: DesiredReplica): WaitingClaim {
  return nodes === undefined ? claim : { ...claim, nodes };
}

interface ScaledDeployment {
  /** Not draining, of whatever version. */
  readonly placed: number;
  readonly replicasMax: number;
  /** What a new extra copies. */
  readonly newest: DesiredReplica;
}

function deploymentsOf({ replicas }: Pick<DesiredState, 'replicas'>): Map<string, ScaledDeployment> {
  const found = new Map<string, ScaledDeployment>();
  for (const replica of replicas.filter(mayHaveExtras)) {
    const placed = (found.get(replica.deploymentId)?.placed ?? 0) + 1;
    found.set(replica.deploymentId, { placed, replicasMax: replica.localScaling!.replicasMax, newest: replica });
  }
  return found;
}

/** What is not free. */
interface Occupied {
  /** Keys of devices that somebody has. */
  readonly taken: ReadonlySet<string>;
  /** Cores that replicas claim: they are shared, so they are counted. */
  readonly cores: number;
}

/** By all that is here and by tasks; of cores, by all that is placed and by these extras. */
function occupiedBy({ desired, here, tasks }: ExtrasInput, extras: readonly ExtraReplica[]): Occupied {
  const claimed = [...desired.replicas, ...extras.map((extra) => placedOf(desired, extra))];
  return {
    taken: new Set([...here, ...tasks].flatMap(({ devices }) => deviceKeysOf(devices))),
    cores: claimed.reduce((sum, each) => sum + (each?.claim.deviceType === 'cpu' ? each.claim.count : 0), 0),
  };
}

/** All of them at once, in their order; null when one finds no room. */
function placeAll(claims: readonly WaitingClaim[], occupied: Occupied, nodes: readonly Node[]): Occupied | null {
  let after: Occupied | null = occupied;
  for (const claim of claims) {
    if (after === null) return null;
    after = place(claim, after, nodes);
  }
  return after;
}

/** What is not free once the claim is bound, as replicas on accelerators and tasks are; null when it finds no room. */
function place(claim: WaitingClaim, { taken, cores }: Occupied, nodes: readonly Node[]): Occupied | null {
  // Replicas' cores are no certain ones: whoever binds cores leaves the first that are free to them.
  const shared = claim.deviceType === 'cpu' ? freeCores(taken, nodes).slice(0, cores) : [];
  const bound = bindDevices(nodes, claim, new Set([...taken, ...shared]), claim.nodes);
  return bound === null ? null : { taken: new Set([...taken, ...deviceKeysOf(bound)]), cores };
}

/** The same of a new replica: its cores are counted and not bound. */
function placeReplica(claim: WaitingClaim, occupied: Occupied, nodes: readonly Node[]): Occupied | null {
  if (claim.deviceType !== 'cpu') return place(claim, occupied, nodes);
  const { taken, cores } = occupied;
  return freeCores(taken, nodes).length - cores < claim.count ? null : { taken, cores: cores + claim.count };
}

function freeCores(taken: ReadonlySet<string>, nodes: readonly Node[]): string[] {
  return nodes
    .flatMap(({ name, devices }) =>
      devices.filter(({ deviceType }) => deviceType === 'cpu').map(({ id }) => deviceKey(name, id)),
    )
    .filter((key) => !taken.has(key));
}
