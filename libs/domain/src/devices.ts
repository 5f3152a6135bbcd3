import type { Labels } from './names.ts';

/** Kubernetes extended-resource names, so that one vocabulary serves every vendor. */
export const DEVICE_TYPES = ['nvidia.com/gpu', 'huawei.com/ascend-npu', 'cambricon.com/mlu', 'cpu'] as const;
export type DeviceType = (typeof DEVICE_TYPES)[number];

export const TOPOLOGY_SCOPES = ['link', 'node', 'rack', 'zone', 'cluster'] as const;
export type TopologyScope = (typeof TOPOLOGY_SCOPES)[number];

export interface Device {
  readonly id: string;
  readonly deviceType: DeviceType;
  readonly memoryBytes: number;
  /** 0..1, absent when the machine cannot say: a missing metric is not a zero. */
  readonly utilisation?: number;
  /** NVLink / HCCS / MLU-Link group; devices of one group are directly linked. */
  readonly linkDomain?: string;
}

export interface Node {
  readonly name: string;
  readonly rack?: string;
  readonly zone?: string;
  readonly labels?: Labels;
  readonly devices: readonly Device[];
}

/** Devices are claimed whole. `count` ≥ 1; `memoryBytesPerDevice` is a minimum and defaults to none. */
export interface ResourceClaim {
  readonly deviceType: DeviceType;
  readonly count: number;
  readonly memoryBytesPerDevice?: number;
  readonly schedulingPolicy: { readonly topologyScope: TopologyScope };
}
