/**
 * Which devices of a cluster's inventory a claim gets, where the agent binds by itself (edge).
 *
 * Devices are claimed whole and belong to one holder (DESIGN §7.2). The smallest place that can take the claim wins, so
 * that large places stay whole; the centre has bound already where it schedules node by node.
 */
import type { Device, Node, ResourceClaim } from './devices.ts';
import type { NodeDevices } from './jobs.ts';

/** `<node>/<device id>`: ids are unique within a node only. */
export function deviceKey(node: string, deviceId: string): string {
  return `${node}/${deviceId}`;
}

export function deviceKeysOf(devices: readonly NodeDevices[]): string[] {
  return devices.flatMap(({ node, deviceIds }) => deviceIds.map((deviceId) => deviceKey(node, deviceId)));
}

interface FreeDevice {
  readonly node: string;
  readonly device: Device;
}

/**
 * Null: no place has them now. Scope `link`: one link group of one node; `node`: one node; wider scopes: the cluster,
 * for an agent stands for one site.
 */
export function bindDevices(
  nodes: readonly Node[],
  claim: ResourceClaim,
  /** Keys of devices that somebody has. */
  taken: ReadonlySet<string>,
): NodeDevices[] | null {
  const memoryBytesMin = claim.memoryBytesPerDevice ?? 0;
  const free = nodes.flatMap(({ name, devices }) =>
    devices
      .filter(({ deviceType, memoryBytes }) => deviceType === claim.deviceType && memoryBytes >= memoryBytesMin)
      .filter(({ id }) => !taken.has(deviceKey(name, id)))
      .map((device): FreeDevice => ({ node: name, device })),
  );
  const places = PLACES[claim.schedulingPolicy.topologyScope](free).filter(({ length }) => length >= claim.count);
  const [smallest] = places.sort((left, right) => left.length - right.length);
  return smallest === undefined ? null : byNode(smallest.slice(0, claim.count));
}

/** Scope → the sets of free devices within which a claim must stay. Linked devices stand together where scope is wider. */
const PLACES: Readonly<
  Record<ResourceClaim['schedulingPolicy']['topologyScope'], (free: readonly FreeDevice[]) => FreeDevice[][]>
> = {
  link: (free) =>
    groups(
      free.filter(({ device }) => device.linkDomain !== undefined),
      linkOf,
    ),
  node: (free) => groups(linkedFirst(free), ({ node }) => node),
  rack: (free) => [linkedFirst(free)],
  zone: (free) => [linkedFirst(free)],
  cluster: (free) => [linkedFirst(free)],
};

function linkOf({ node, device }: FreeDevice): string {
  return `${node}/${device.linkDomain ?? ''}`;
}

/** The devices of the largest link groups stand first, each group together. */
function linkedFirst(free: readonly FreeDevice[]): FreeDevice[] {
  return groups(free, linkOf)
    .sort((left, right) => right.length - left.length)
    .flat();
}

function groups(devices: readonly FreeDevice[], keyOf: (device: FreeDevice) => string): FreeDevice[][] {
  const found = new Map<string, FreeDevice[]>();
  for (const each of devices) found.set(keyOf(each), [...(found.get(keyOf(each)) ?? []), each]);
  return [...found.values()];
}

function byNode(devices: readonly FreeDevice[]): NodeDevices[] {
  return groups(devices, ({ node }) => node).map((each) => ({
    node: each[0]!.node,
    deviceIds: each.map(({ device }) => device.id),
  }));
}
