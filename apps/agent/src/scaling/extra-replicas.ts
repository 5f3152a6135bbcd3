/**
 * Which replicas the agent keeps beside those that the centre placed (`localScaling`). Pure and level-triggered.
 *
 * Invariants: an extra replica is a copy of a placed one of its deployment and version that is not draining, and ends with
 * the last of them; none is started where a placed replica or a task waits for devices of that type, and while one waits,
 * extras of that type end, the newest first, as many as hold what it asks for; placed and extra ones together are never
 * more than `replicasMax`. Devices that the centre bound are the centre's: there are no extras where it binds.
 *
 * How many a deployment needs is decided elsewhere (`libs/scheduling/src/scaling`); here it is only carried out, one start
 * a turn.
 */
import {
  bindDevices,
  type DesiredReplica,
  type DesiredState,
  type DeviceHolding,
  type DeviceType,
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
  /** Claims of placed replicas and of tasks that wait for devices. */
  readonly waiting: readonly ResourceClaim[];
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
  const { desired, waiting } = input;
  const freeing = freeingByType(input);
  const missing = new Map<DeviceType, number>();
  for (const claim of waiting.filter((each) => hasRoom(each, undefined, [], { ...input, here: staying(input) }))) {
    missing.set(claim.deviceType, (missing.get(claim.deviceType) ?? 0) + claim.count);
  }
  const ended = new Set<string>();
  for (const extra of extras.toReversed()) {
    const { deviceType, count } = placedOf(desired, extra)!.claim;
    const still = (missing.get(deviceType) ?? 0) - (freeing.get(deviceType) ?? 0);
    if (still <= 0) continue;
    ended.add(extra.replicaId);
    missing.set(deviceType, (missing.get(deviceType) ?? 0) - count);
  }
  return {
    extras: extras.filter(({ replicaId }) => !ended.has(replicaId)),
    reasons: [...ended].map((replicaId) => `${replicaId} ends: what the centre placed waits for its devices`),
  };
}

/** Neither an extra nor on its way out. */
function staying({ here, extras }: ExtrasInput): HereReplica[] {
  const isExtra = new Set(extras.map(({ replicaId }) => replicaId));
  return here.filter(({ replicaId, isStopping }) => !isStopping && !isExtra.has(replicaId));
}

function freeingByType({ here, nodes }: ExtrasInput): ReadonlyMap<DeviceType, number> {
  const types = new Map(
    nodes.flatMap(({ name, devices }) => devices.map((each) => [deviceKey(name, each.id), each.deviceType])),
  );
  const freeing = new Map<DeviceType, number>();
  for (const key of here.filter(({ isStopping }) => isStopping).flatMap(({ devices }) => deviceKeysOf(devices))) {
    const type = types.get(key);
    if (type !== undefined) freeing.set(type, (freeing.get(type) ?? 0) + 1);
  }
  return freeing;
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
  const { desired, needed, waiting, isScaled, newId } = input;
  const busyTypes = new Set(waiting.map(({ deviceType }) => deviceType));
  const started: ExtraReplica[] = [];
  for (const [deploymentId, { placed, replicasMax, newest }] of deploymentsOf(desired)) {
    const own = extras.filter((extra) => extra.deploymentId === deploymentId).length;
    const wanted = Math.min(needed.get(deploymentId) ?? 0, replicasMax) - placed;
    if (own >= wanted || !isScaled(newest.engine) || busyTypes.has(newest.claim.deviceType)) continue;
    if (!hasRoom(newest.claim, newest.nodes, [...extras, ...started], input)) continue;
    started.push({ replicaId: newId(), deploymentId, versionDigest: newest.versionDigest });
    // What it is bound to is seen at the next turn; until then no other may count on the same device. Cores are counted.
    if (newest.claim.deviceType !== 'cpu') busyTypes.add(newest.claim.deviceType);
  }
  return {
    extras: started,
    reasons: started.map(({ replicaId }) => `${replicaId} starts: load asks for one more`),
  };
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

/** Whether a claim fits beside all that is here, is placed, or was decided a moment ago (`extras`). */
function hasRoom(
  claim: ResourceClaim,
  preferences: DesiredReplica['nodes'],
  extras: readonly ExtraReplica[],
  { desired, nodes, here, tasks }: ExtrasInput,
): boolean {
  if (claim.deviceType !== 'cpu') {
    const taken = new Set([...here, ...tasks].flatMap(({ devices }) => deviceKeysOf(devices)));
    return bindDevices(nodes, claim, taken, preferences) !== null;
  }
  // Cores are shared, so they are counted.
  const cores = new Set(
    nodes.flatMap(({ name, devices }) =>
      devices.filter(({ deviceType }) => deviceType === 'cpu').map(({ id }) => deviceKey(name, id)),
    ),
  );
  const ofTasks = tasks.flatMap(({ devices }) => deviceKeysOf(devices)).filter((key) => cores.has(key)).length;
  const ofReplicas = [...desired.replicas, ...extras.map((extra) => placedOf(desired, extra))]
    .map((replica) => (replica?.claim.deviceType === 'cpu' ? replica.claim.count : 0))
    .reduce((sum, count) => sum + count, 0);
  return cores.size - ofTasks - ofReplicas >= claim.count;
}
