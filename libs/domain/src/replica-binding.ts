/**
 * Which devices of its cluster a replica starts on, from one book of what replicas and tasks hold. Pure.
 *
 * Invariants: no device has two holders; what the centre bound is honoured, and waited for while another still has it;
 * one that failed keeps its devices as long as they are there. Claims of `cpu` are not bound: cores are shared between
 * replicas, as the system shares them (an edge machine runs more small models than it has cores), while a task's cores
 * are its own.
 */
import type { DesiredReplica } from './desired.ts';
import { bindDevices, type DeviceHolding, deviceKey, deviceKeysOf, whyNotBound } from './device-binding.ts';
import type { Node } from './devices.ts';
import type { NodeDevices } from './jobs.ts';
import type { AgentAction, LocalReplica } from './reconciliation.ts';

export interface DeviceBook {
  readonly nodes: readonly Node[];
  /** Of tasks that run here. */
  readonly tasks: readonly DeviceHolding[];
  /** False: what runs on the engine of that name takes none of these devices, or another scheduler binds them. */
  readonly bindsDevices: (engine: string | undefined) => boolean;
}

/** Every one starts or waits, in the order of the document. */
export function bindReplicas(
  starting: readonly DesiredReplica[],
  replicas: readonly DesiredReplica[],
  here: readonly LocalReplica[],
  book: DeviceBook,
): AgentAction[] {
  const holdings = holdingsOf(replicas, here, book);
  return starting.map((replica): AgentAction => {
    const { replicaId } = replica;
    const holder = replicaHolder(replicaId);
    const held = here.find((each) => each.replicaId === replicaId)?.devices;
    const others = holdings.filter((holding) => holding.holder !== holder);
    const bound = bindReplica(replica, held, others, book);
    if (typeof bound === 'string') return { action: 'wait', replicaId, reason: bound };
    if (bound === null) return { action: 'start', replica };
    holdings.push({ holder, devices: bound });
    return { action: 'start', replica, devices: bound };
  });
}

export function replicaHolder(replicaId: string): string {
  return `replica ${replicaId}`;
}

export function taskHolder(taskId: string): string {
  return `task ${taskId}`;
}

/** Of all that are here, and of those that the centre gave devices to, though they did not begin yet. */
function holdingsOf(
  replicas: readonly DesiredReplica[],
  here: readonly LocalReplica[],
  book: DeviceBook,
): DeviceHolding[] {
  const given = replicas.filter(({ draining }) => !draining);
  const holding = ({ replicaId, devices }: Pick<LocalReplica, 'replicaId' | 'devices'>) => ({
    holder: replicaHolder(replicaId),
    devices: devices ?? [],
  });
  const all = [...given.map(holding), ...here.map(holding), ...book.tasks];
  const known = all.filter(({ devices }) => devices.length > 0);
  return [...known, ...presumedHoldings(replicas, here, book, known)];
}

/** What an agent started that noted no devices has some all the same: as many as it claims, from the front (R21). */
function presumedHoldings(
  replicas: readonly DesiredReplica[],
  here: readonly LocalReplica[],
  { nodes, bindsDevices }: DeviceBook,
  known: readonly DeviceHolding[],
): DeviceHolding[] {
  const taken = new Set(known.flatMap(({ devices }) => deviceKeysOf(devices)));
  const running = new Set(here.filter(({ devices }) => devices === undefined).map(({ replicaId }) => replicaId));
  const unnoted = replicas.filter(({ replicaId, devices, claim, engine }) => {
    return devices === undefined && claim.deviceType !== 'cpu' && running.has(replicaId) && bindsDevices(engine);
  });
  return unnoted.map(({ replicaId, claim }) => {
    const free = nodes.flatMap(({ name, devices }) =>
      devices
        .filter(({ id, deviceType }) => deviceType === claim.deviceType && !taken.has(deviceKey(name, id)))
        .map(({ id }) => ({ node: name, deviceIds: [id] })),
    );
    const devices = free.slice(0, claim.count);
    for (const key of deviceKeysOf(devices)) taken.add(key);
    return { holder: replicaHolder(replicaId), devices };
  });
}

/** Null: nothing is bound for it. A sentence: what it waits for. */
function bindReplica(
  { devices, claim, engine, nodes: preferences }: DesiredReplica,
  held: readonly NodeDevices[] | undefined,
  others: readonly DeviceHolding[],
  { nodes, bindsDevices }: DeviceBook,
): readonly NodeDevices[] | null | string {
  const taken = new Set(others.flatMap((holding) => deviceKeysOf(holding.devices)));
  const wanted = devices ?? (isHere(held, nodes) ? held : undefined);
  if (wanted !== undefined) {
    const busy = deviceKeysOf(wanted).find((key) => taken.has(key));
    if (busy === undefined) return wanted;
    if (devices !== undefined) return `waits for device ${busy}, held by ${holderOf(busy, others)}`;
  }
  if (claim.deviceType === 'cpu' || !bindsDevices(engine)) return null;
  return bindDevices(nodes, claim, taken, preferences) ?? whyNotBound(nodes, claim, others, preferences);
}

/** Whether every device of it is listed now. */
function isHere(devices: readonly NodeDevices[] | undefined, nodes: readonly Node[]): boolean {
  const listed = new Set(nodes.flatMap((node) => node.devices.map(({ id }) => deviceKey(node.name, id))));
  return devices !== undefined && deviceKeysOf(devices).every((key) => listed.has(key));
}

function holderOf(key: string, holdings: readonly DeviceHolding[]): string {
  return holdings.find(({ devices }) => deviceKeysOf(devices).includes(key))?.holder ?? 'nobody';
}
