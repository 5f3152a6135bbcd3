/** A fleet to replay on, made from a few numbers: one central cluster of equal nodes. */
import type { DeviceType, Node } from '#domain';
import type { WorkloadCluster } from '#scheduling';
import { ReplayInputError } from './errors.ts';

export interface FleetShape {
  readonly racks: number;
  readonly nodesPerRack: number;
  readonly devicesPerNode: number;
}

/** 240 GPUs, as in the measurements of SCHEDULING.md. */
export const DEFAULT_FLEET: FleetShape = { racks: 5, nodesPerRack: 6, devicesPerNode: 8 };
export const REPLAY_DEVICE_TYPE: DeviceType = 'nvidia.com/gpu';
export const REPLAY_CLUSTER_ID = 'replay';
const DEVICES_MAX = 1_000_000;

/** `30x8`: nodes × devices, in one rack; `5x6x8`: racks × nodes × devices. Throws ReplayInputError on anything else. */
export function parseFleet(text: string): FleetShape {
  const numbers = /^\d{1,7}(x\d{1,7}){1,2}$/.test(text) ? text.split('x').map(Number) : [];
  const [racks, nodesPerRack, devicesPerNode] = numbers.length === 2 ? [1, ...numbers] : numbers;
  const shape = { racks: racks ?? 0, nodesPerRack: nodesPerRack ?? 0, devicesPerNode: devicesPerNode ?? 0 };
  if (devicesOf(shape) >= 1 && devicesOf(shape) <= DEVICES_MAX) return shape;
  throw new ReplayInputError(
    `a fleet is nodes × devices such as 30x8, or racks × nodes × devices such as 5x6x8, of at most ${DEVICES_MAX} devices`,
  );
}

export function devicesOf({ racks, nodesPerRack, devicesPerNode }: FleetShape): number {
  return racks * nodesPerRack * devicesPerNode;
}

export function describeFleet(shape: FleetShape): string {
  const { racks, nodesPerRack, devicesPerNode } = shape;
  return `${devicesOf(shape)} devices: ${racks} racks × ${nodesPerRack} nodes × ${devicesPerNode}`;
}

export function clusterOf({ racks, nodesPerRack, devicesPerNode }: FleetShape): WorkloadCluster {
  const nodes = Array.from({ length: racks * nodesPerRack }, (_, index): Node => {
    const name = `n${index + 1}`;
    const devices = Array.from({ length: devicesPerNode }, (_device, at) => ({
      id: `${name}-${at}`,
      deviceType: REPLAY_DEVICE_TYPE,
      memoryBytes: 80e9,
    }));
    return { name, rack: `r${Math.floor(index / nodesPerRack) + 1}`, devices };
  });
  return {
    id: REPLAY_CLUSTER_ID,
    name: REPLAY_CLUSTER_ID,
    kind: 'central',
    region: '',
    zone: '',
    labels: {},
    closed: null,
    nodes,
  };
}
