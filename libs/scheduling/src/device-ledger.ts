/**
 * Which devices of one cluster are taken. Claims are packed in the order given: only on nodes with the labels that are
 * required, preferred nodes first (A12), then the smallest domain that fits (T04), then the devices with the least
 * sufficient memory, so that large ones stay free for who needs them.
 *
 * In a central cluster what is chosen here is bound; in an edge cluster the agent chooses, and this packing only answers
 * whether a claim fits beside the others. Domains are those of `workloads/devices/topology.ts`.
 */
import type { Device, Node, NodeDevices, NodePreferences, ResourceClaim, TopologyScope } from '#domain';
import { ANY_NODE, describeLabels, isNodeAllowed, nodePreference } from './node-labels.ts';
import { domainKey } from './workloads/devices/topology.ts';

interface Slot {
  readonly node: Node;
  readonly device: Device;
  holder: string | null;
}

/** The domain that all devices of a claim must share. */
function domainOf({ node, device }: Slot, scope: TopologyScope): string {
  return scope === 'link' ? `${node.name}/${device.linkDomain ?? `device:${device.id}`}` : domainKey(scope, node);
}

/** `missing-type`: no such device at all; `too-small`: none with the memory; `busy`: enough exist, not free. */
export type Misfit = 'missing-type' | 'too-small' | 'too-few' | 'busy';

export class DeviceLedger {
  private readonly slots: Slot[];
  /** Answers since the last change: deployments mostly ask for the same few claims. */
  private readonly misfits = new Map<string, Misfit | null>();
  private readonly freeShares = new Map<string, number>();
  /** Node → device → its slot; made when devices are first named. */
  private byName: ReadonlyMap<string, ReadonlyMap<string, Slot>> | null = null;

  constructor(nodes: readonly Node[]) {
    this.slots = nodes.flatMap((node) => node.devices.map((device) => ({ node, device, holder: null })));
  }

  /** Null when the claim fits now, else why not. */
  misfit(claim: ResourceClaim, nodes: NodePreferences = ANY_NODE): Misfit | null {
    const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
    const where = describeLabels(nodes.required);
    const key = `${deviceType} ${count} ${memoryBytesPerDevice} ${schedulingPolicy.topologyScope} ${where}`;
    const known = this.misfits.get(key);
    if (known !== undefined) return known;
    const misfit = this.findMisfit(claim, nodes);
    this.misfits.set(key, misfit);
    return misfit;
  }

  private findMisfit(claim: ResourceClaim, nodes: NodePreferences): Misfit | null {
    if (this.findFree(claim, nodes) !== null) return null;
    const ofType = this.slotsOf(claim, nodes);
    if (ofType.length === 0) return 'missing-type';
    if (!ofType.some((slot) => isLargeEnough(slot, claim))) return 'too-small';
    return this.bestDomain(claim, ofType, nodes) === null ? 'too-few' : 'busy';
  }

  /** Takes devices for `holder`; false, and nothing taken, when the claim does not fit. */
  take(holder: string, claim: ResourceClaim, nodes: NodePreferences = ANY_NODE): boolean {
    return this.bind(holder, claim, nodes) !== null;
  }

  /** As `take`, and says which devices; null when the claim does not fit. */
  bind(holder: string, claim: ResourceClaim, nodes: NodePreferences = ANY_NODE): NodeDevices[] | null {
    const found = this.findFree(claim, nodes);
    if (found === null) return null;
    this.hold(found, holder);
    return [...Map.groupBy(found, ({ node }) => node.name)].map(([node, slots]) => ({
      node,
      deviceIds: slots.map(({ device }) => device.id),
    }));
  }

  /**
   * Takes named devices: those that are there and that nobody holds. True: that was all of them. A device that vanished
   * is nobody's, one that is held stays with its first holder.
   */
  takeBound(holder: string, devices: readonly NodeDevices[]): boolean {
    this.byName ??= byName(this.slots);
    const named = devices.flatMap(({ node, deviceIds }) => deviceIds.map((id) => this.byName!.get(node)?.get(id)));
    const free = new Set(named.filter((slot) => slot !== undefined && slot.holder === null) as Slot[]);
    this.hold([...free], holder);
    return free.size === named.length;
  }

  /**
   * Takes devices for something that runs already: those it was bound to as `takeBound` does, else by packing. When the
   * claim no longer fits (a device vanished), it takes what is left of its type: it may be running on any of them.
   */
  takeRunning(
    holder: string,
    claim: ResourceClaim,
    devices: readonly NodeDevices[] | null = null,
    nodes: NodePreferences = ANY_NODE,
  ): void {
    if (devices !== null) {
      this.takeBound(holder, devices);
      return;
    }
    if (this.take(holder, claim, nodes)) return;
    const left = this.slots.filter((slot) => slot.holder === null && slot.device.deviceType === claim.deviceType);
    this.hold(left.slice(0, claim.count), holder);
  }

  release(holder: string): void {
    this.hold(
      this.slots.filter((slot) => slot.holder === holder),
      null,
    );
  }

  /** Whether the claim would fit if `holder` were gone. Changes nothing. */
  fitsWithout(holder: string, claim: ResourceClaim, nodes: NodePreferences = ANY_NODE): boolean {
    const held = this.slots.filter((slot) => slot.holder === holder);
    for (const slot of held) slot.holder = null;
    const fits = this.findFree(claim, nodes) !== null;
    for (const slot of held) slot.holder = holder;
    return fits;
  }

  /** Free share of the devices of a type, 0..1; 0 when there is none. */
  freeShare(deviceType: string): number {
    const known = this.freeShares.get(deviceType);
    if (known !== undefined) return known;
    const ofType = this.slots.filter((slot) => slot.device.deviceType === deviceType);
    const free = ofType.filter((slot) => slot.holder === null).length;
    const share = ofType.length === 0 ? 0 : free / ofType.length;
    this.freeShares.set(deviceType, share);
    return share;
  }

  private hold(slots: readonly Slot[], holder: string | null): void {
    for (const slot of slots) slot.holder = holder;
    this.misfits.clear();
    this.freeShares.clear();
  }

  private findFree(claim: ResourceClaim, nodes: NodePreferences): Slot[] | null {
    const free = this.slotsOf(claim, nodes).filter(({ holder }) => holder === null);
    return this.bestDomain(claim, free, nodes);
  }

  /** Devices of the claimed type on nodes where it may be. */
  private slotsOf({ deviceType }: ResourceClaim, nodes: NodePreferences): Slot[] {
    return this.slots.filter(({ node, device }) => device.deviceType === deviceType && isNodeAllowed(node, nodes));
  }

  private bestDomain(claim: ResourceClaim, among: readonly Slot[], nodes: NodePreferences): Slot[] | null {
    const scope = claim.schedulingPolicy.topologyScope;
    const domains = Map.groupBy(
      among.filter((slot) => isLargeEnough(slot, claim)),
      (slot) => domainOf(slot, scope),
    );
    const fitting = [...domains.values()].filter((slots) => slots.length >= claim.count);
    const preference = ({ node }: Slot) => nodePreference(node, nodes);
    const best = (slots: readonly Slot[]) => Math.max(...slots.map(preference));
    const chosen = fitting.sort((left, right) => best(right) - best(left) || left.length - right.length)[0];
    if (chosen === undefined) return null;
    return [...chosen]
      .sort((left, right) => preference(right) - preference(left) || left.device.memoryBytes - right.device.memoryBytes)
      .slice(0, claim.count);
  }
}

function isLargeEnough(slot: Slot, claim: ResourceClaim): boolean {
  return slot.device.memoryBytes >= (claim.memoryBytesPerDevice ?? 0);
}

function byName(slots: readonly Slot[]): Map<string, Map<string, Slot>> {
  const byNode = Map.groupBy(slots, ({ node }) => node.name);
  return new Map([...byNode].map(([node, here]) => [node, new Map(here.map((slot) => [slot.device.id, slot]))]));
}
