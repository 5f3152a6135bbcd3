/**
 * Which devices of a cluster's inventory a claim gets, where the agent binds by itself (edge).
 *
 * Devices are claimed whole and belong to one holder (DESIGN §7.2). The smallest place that can take the claim wins, so
 * that large places stay whole; the centre has bound already where it schedules node by node.
 */
import type { Device, Node, ResourceClaim } from './devices.ts';
import type { NodeDevices } from './jobs.ts';
import { memoryWords } from './memory-words.ts';
import type { Labels } from './names.ts';
import type { NodePreferences } from './serving.ts';

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
  /** Preferred labels that its node has. */
  readonly liked: number;
}

/** What somebody has, and who, in words: `replica 0190…`. */
export interface DeviceHolding {
  readonly holder: string;
  readonly devices: readonly NodeDevices[];
}

/**
 * Null: no place has them now. Scope `link`: one link group of one node; `node`: one node; wider scopes: the cluster,
 * for an agent stands for one site. Of the nodes that have every required label, those with the most preferred ones go
 * first (A12), and then the smallest place.
 */
export function bindDevices(
  nodes: readonly Node[],
  claim: ResourceClaim,
  /** Keys of devices that somebody has. */
  taken: ReadonlySet<string>,
  preferences: NodePreferences = ANY_NODE,
): NodeDevices[] | null {
  const free = suitable(nodes, claim, preferences).filter(({ node, device }) => !taken.has(deviceKey(node, device.id)));
  const places = PLACES[claim.schedulingPolicy.topologyScope](free).filter(({ length }) => length >= claim.count);
  const [best] = places.sort((left, right) => liking(right) - liking(left) || left.length - right.length);
  return best === undefined ? null : byNode(best.slice(0, claim.count));
}

/** Why `bindDevices` found nothing, in one sentence that names what would have to change. */
export function whyNotBound(
  nodes: readonly Node[],
  claim: ResourceClaim,
  holdings: readonly DeviceHolding[],
  preferences: NodePreferences = ANY_NODE,
): string {
  const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
  const wish = `waits for ${count} ${deviceType}`;
  const all = suitable(nodes, { ...claim, memoryBytesPerDevice: 0 }, ANY_NODE);
  if (all.length === 0) return `${wish}: this cluster has none`;
  const labelled = suitable(nodes, { ...claim, memoryBytesPerDevice: 0 }, preferences);
  if (labelled.length === 0) return `${wish}: no node that has any is labelled ${labelWords(preferences.required)}`;
  const places = suitable(nodes, claim, preferences);
  if (places.length === 0) return `${wish}: none has ${memoryWords(memoryBytesPerDevice ?? 0, 'up')} of memory`;
  const keys = new Set(places.map(({ node, device }) => deviceKey(node, device.id)));
  const taken = new Set(holdings.flatMap(({ devices }) => deviceKeysOf(devices)).filter((key) => keys.has(key)));
  const free = keys.size - taken.size;
  const scope = free < count ? '' : `, but not ${count} within one ${schedulingPolicy.topologyScope}`;
  return `${wish}: ${free} of ${keys.size} ${free === 1 ? 'is' : 'are'} free${scope}${holderWords(holdings, keys)}`;
}

const ANY_NODE: NodePreferences = { required: {}, preferred: {} };
/** Named in a sentence; more are counted. */
const HOLDERS_NAMED_MAX = 3;

function holderWords(holdings: readonly DeviceHolding[], keys: ReadonlySet<string>): string {
  const holding = holdings.filter(({ devices }) => deviceKeysOf(devices).some((key) => keys.has(key)));
  const holders = [...new Set(holding.map(({ holder }) => holder))];
  if (holders.length === 0) return '';
  const named = holders.slice(0, HOLDERS_NAMED_MAX);
  const more = holders.length - named.length;
  return `, held by ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function labelWords(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

/** Devices that could serve the claim if nobody had them. */
function suitable(
  nodes: readonly Node[],
  claim: ResourceClaim,
  { required, preferred }: NodePreferences,
): FreeDevice[] {
  const memoryBytesMin = claim.memoryBytesPerDevice ?? 0;
  return nodes
    .filter(({ labels = {} }) => Object.entries(required).every(([name, value]) => labels[name] === value))
    .flatMap(({ name, labels = {}, devices }) => {
      const liked = Object.entries(preferred).filter(([label, value]) => labels[label] === value).length;
      return devices
        .filter(({ deviceType, memoryBytes }) => deviceType === claim.deviceType && memoryBytes >= memoryBytesMin)
        .map((device): FreeDevice => ({ node: name, device, liked }));
    });
}

/** Of the devices that a place would give first. */
function liking(place: readonly FreeDevice[]): number {
  return place[0]?.liked ?? 0;
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

/** The devices of the nodes that are liked best stand first, then of the largest link groups, each group together. */
function linkedFirst(free: readonly FreeDevice[]): FreeDevice[] {
  return groups(free, linkOf)
    .sort((left, right) => liking(right) - liking(left) || right.length - left.length)
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
