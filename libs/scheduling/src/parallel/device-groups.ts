/**
 * Devices bundled for tensor parallelism: groups of equal size, each inside one link domain where the domains are large
 * enough, else inside one node. A tensor-parallel group never spans nodes: it talks twice a layer.
 */
import type { Device, DeviceType, Node } from '#domain';

export interface DeviceGroup {
  readonly node: string;
  readonly rack: string | null;
  readonly devices: readonly Device[];
  /** Whether all of them are directly linked. */
  readonly isLinked: boolean;
  /** Of the smallest device of the group. */
  readonly memoryBytes: number;
}

/**
 * As many groups of `size` as there are, those of one node side by side, nodes with most groups first within a rack, racks
 * with most groups first: so the first p of them touch the fewest racks and nodes.
 */
export function groupsOf(nodes: readonly Node[], deviceType: DeviceType, size: number): DeviceGroup[] {
  const byNode = nodes
    .map((node) => groupsInNode(node, deviceType, size))
    .filter((groups) => groups.length > 0)
    .sort((left, right) => right.length - left.length || (left[0]!.node < right[0]!.node ? -1 : 1));
  const racks = [...Map.groupBy(byNode, ([first]) => first!.rack ?? `node:${first!.node}`).values()];
  const sizeOf = (rack: DeviceGroup[][]) => rack.reduce((sum, groups) => sum + groups.length, 0);
  return racks.sort((left, right) => sizeOf(right) - sizeOf(left)).flat(2);
}

function groupsInNode(node: Node, deviceType: DeviceType, size: number): DeviceGroup[] {
  const ofType = node.devices.filter((device) => device.deviceType === deviceType);
  const domains = [...Map.groupBy(ofType, (device) => device.linkDomain ?? `device:${device.id}`).values()];
  const linked = domains.flatMap((devices) => chunks(byMemory(devices), size));
  const bundled = new Set(linked.flat());
  const rest = byMemory(ofType.filter((device) => !bundled.has(device)));
  return [
    ...linked.map((devices) => toGroup(node, devices, true)),
    ...chunks(rest, size).map((devices) => toGroup(node, devices, size === 1)),
  ];
}

/** The largest group that any node could give. */
export function largestGroup(nodes: readonly Node[], deviceType: DeviceType): number {
  const counts = nodes.map(({ devices }) => devices.filter((device) => device.deviceType === deviceType).length);
  return counts.reduce((most, count) => Math.max(most, count), 0);
}

/** Equals together, so that no large device is held back by a small one. */
function byMemory(devices: readonly Device[]): Device[] {
  return [...devices].sort((left, right) => right.memoryBytes - left.memoryBytes || (left.id < right.id ? -1 : 1));
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.floor(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function toGroup(node: Node, devices: readonly Device[], isLinked: boolean): DeviceGroup {
  const memoryBytes = Math.min(...devices.map((device) => device.memoryBytes));
  return { node: node.name, rack: node.rack ?? null, devices, isLinked, memoryBytes };
}
