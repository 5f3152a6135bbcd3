// The domain's nodes and devices out of Kubernetes' nodes. Pure.
//
// Kubernetes counts devices and does not name them, so ids are made up, the same for the same count: `gpu-0` … A node that
// takes nothing new (cordoned, not ready, tainted) and has nothing of ours is left out; one that has is kept, with all its
// devices, for what is held there must not seem lost, and is marked.
import type { V1Node, V1Taint } from '@kubernetes/client-node';
import { labelsSchema } from '#contracts';
import { DEVICE_TYPES, type Device, type DeviceType, type Labels, type Node } from '#domain';
import { ID_PREFIXES } from '../devices/discovery/found.ts';
import type { NodeReading, Toleration } from './configuration.ts';
import { MEMORY_LABELS } from './pod-parts.ts';

const MEBIBYTE = 1_048_576;
const DEVICES_MAX = 64;
const LABELS_MAX = 63;
export const NODES_MAX = 4_096;
export const CORDONED_LABEL = 'atoll.dev/cordoned';

/** `occupied`: names of nodes where pods of ours are. In the order of their names. */
export function nodesOf(nodes: readonly V1Node[], occupied: ReadonlySet<string>, reading: NodeReading): Node[] {
  return nodes
    .flatMap((node) => {
      const isOpen = takesNew(node, reading.tolerations);
      const isKept = isOpen || occupied.has(node.metadata?.name ?? '');
      return isKept ? [nodeOf(node, reading, isOpen)] : [];
    })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .slice(0, NODES_MAX);
}

/** Kubernetes quantities: `8`, `63500m`, `1056270Mi`, `1e3`. Null: not one. */
export function quantityOf(text: string | undefined): number | null {
  const match = /^([+-]?[0-9.]+(?:[eE][+-]?\d+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/.exec(text ?? '');
  if (match === null) return null;
  const value = Number(match[1]) * (SUFFIXES[match[2] ?? ''] ?? Number.NaN);
  return Number.isFinite(value) ? value : null;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

function nodeOf(node: V1Node, reading: NodeReading, isOpen: boolean): Node {
  const labels = node.metadata?.labels ?? {};
  const { rack, zone } = reading.topologyKeys;
  return {
    name: (node.metadata?.name ?? '').slice(0, 253),
    ...(labels[rack] ? { rack: labels[rack].slice(0, 63) } : {}),
    ...(labels[zone] ? { zone: labels[zone].slice(0, 63) } : {}),
    labels: { ...tellableLabels(labels), ...(isOpen ? {} : { [CORDONED_LABEL]: 'true' }) },
    devices: devicesOf(node, reading),
  };
}

/** Accelerators first, and as many CPUs as there is room for. */
function devicesOf(node: V1Node, reading: NodeReading): Device[] {
  const accelerators = DEVICE_TYPES.filter((type) => type !== 'cpu').flatMap((type) =>
    typeDevices(node, type, reading),
  );
  const room = Math.max(0, DEVICES_MAX - accelerators.length);
  return [...accelerators.slice(0, DEVICES_MAX), ...typeDevices(node, 'cpu', reading, room)];
}

function typeDevices(node: V1Node, deviceType: DeviceType, reading: NodeReading, countMax = DEVICES_MAX): Device[] {
  const { allocatable = {} } = node.status ?? {};
  const count = Math.min(countMax, Math.floor(quantityOf(allocatable[reading.resourceNames[deviceType]]) ?? 0));
  const linkDomain = deviceType === 'cpu' ? undefined : node.metadata?.labels?.[reading.linkLabel];
  const memoryBytes = memoryBytesOf(node, deviceType, count);
  return Array.from({ length: count }, (_, index) => ({
    id: `${ID_PREFIXES[deviceType]}${index}`,
    deviceType,
    memoryBytes,
    ...(linkDomain ? { linkDomain: linkDomain.slice(0, 64) } : {}),
  }));
}

/** 0: nobody says. */
function memoryBytesOf({ metadata, status }: V1Node, deviceType: DeviceType, count: number): number {
  if (deviceType === 'cpu') return Math.floor((quantityOf(status?.allocatable?.memory) ?? 0) / Math.max(1, count));
  const mebibytes = Number(metadata?.labels?.[MEMORY_LABELS[deviceType] ?? '']);
  return Number.isSafeInteger(mebibytes) && mebibytes > 0 ? mebibytes * MEBIBYTE : 0;
}

function takesNew({ spec, status }: V1Node, tolerations: readonly Toleration[]): boolean {
  const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
  const taints = (spec?.taints ?? []).filter(({ effect }) => effect !== 'PreferNoSchedule');
  return isReady && spec?.unschedulable !== true && taints.every((taint) => isTolerated(taint, tolerations));
}

/** As the scheduler sees it: an empty key with `Exists` tolerates all, an absent effect every effect. */
function isTolerated(taint: V1Taint, tolerations: readonly Toleration[]): boolean {
  return tolerations.some(({ key, operator, value, effect }) => {
    if (effect !== undefined && effect !== taint.effect) return false;
    if (key === undefined) return operator === 'Exists';
    return key === taint.key && (operator === 'Exists' || (value ?? '') === (taint.value ?? ''));
  });
}

/** Those that a report can carry, the first by their keys; one is left for our own. */
function tellableLabels(labels: Readonly<Record<string, string>>): Labels {
  const entries = Object.entries(labels).filter(([key, value]) => labelsSchema.safeParse({ [key]: value }).success);
  return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)).slice(0, LABELS_MAX));
}
