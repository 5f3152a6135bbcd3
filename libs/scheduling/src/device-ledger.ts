/**
 * Which devices of one cluster are taken. Claims are packed in the order given: smallest domain that fits first (T04),
 * then the devices with the least sufficient memory, so that large ones stay free for who needs them.
 *
 * Agents choose the devices themselves; this packing only answers whether a claim fits beside the others.
 */
import type { Device, Node, ResourceClaim, TopologyScope } from '#domain';

interface Slot {
  readonly node: Node;
  readonly device: Device;
  holder: string | null;
}

/** Scope → the domain that all devices of a claim must share. A node without a rack or zone is one of its own. */
const DOMAIN_OF: Readonly<Record<TopologyScope, (slot: Slot) => string>> = {
  link: ({ node, device }) => `${node.name}/${device.linkDomain ?? `device:${device.id}`}`,
  node: ({ node }) => node.name,
  rack: ({ node }) => (node.rack === undefined ? `node:${node.name}` : `rack:${node.rack}`),
  zone: ({ node }) => (node.zone === undefined ? `node:${node.name}` : `zone:${node.zone}`),
  cluster: () => 'cluster',
};

/** `missing-type`: no such device at all; `too-small`: none with the memory; `busy`: enough exist, not free. */
export type Misfit = 'missing-type' | 'too-small' | 'too-few' | 'busy';

export class DeviceLedger {
  private readonly slots: Slot[];
  /** Answers since the last change: deployments mostly ask for the same few claims. */
  private readonly misfits = new Map<string, Misfit | null>();
  private readonly freeShares = new Map<string, number>();

  constructor(nodes: readonly Node[]) {
    this.slots = nodes.flatMap((node) => node.devices.map((device) => ({ node, device, holder: null })));
  }

  /** Null when the claim fits now, else why not. */
  misfit(claim: ResourceClaim): Misfit | null {
    const { deviceType, count, memoryBytesPerDevice, schedulingPolicy } = claim;
    const key = `${deviceType} ${count} ${memoryBytesPerDevice} ${schedulingPolicy.topologyScope}`;
    const known = this.misfits.get(key);
    if (known !== undefined) return known;
    const misfit = this.findMisfit(claim);
    this.misfits.set(key, misfit);
    return misfit;
  }

  private findMisfit(claim: ResourceClaim): Misfit | null {
    if (this.findFree(claim) !== null) return null;
    const ofType = this.slots.filter((slot) => slot.device.deviceType === claim.deviceType);
    if (ofType.length === 0) return 'missing-type';
    if (!ofType.some((slot) => isLargeEnough(slot, claim))) return 'too-small';
    return this.smallestDomain(claim, ofType) === null ? 'too-few' : 'busy';
  }

  /** Takes devices for `holder`; false, and nothing taken, when the claim does not fit. */
  take(holder: string, claim: ResourceClaim): boolean {
    const found = this.findFree(claim);
    if (found === null) return false;
    this.hold(found, holder);
    return true;
  }

  /**
   * Takes devices for something that runs already. When the claim no longer fits (a device vanished), it takes what is
   * left of its type: it may be running on any of them.
   */
  takeRunning(holder: string, claim: ResourceClaim): void {
    if (this.take(holder, claim)) return;
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
  fitsWithout(holder: string, claim: ResourceClaim): boolean {
    const held = this.slots.filter((slot) => slot.holder === holder);
    for (const slot of held) slot.holder = null;
    const fits = this.findFree(claim) !== null;
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

  private findFree(claim: ResourceClaim): Slot[] | null {
    return this.smallestDomain(
      claim,
      this.slots.filter((slot) => slot.holder === null && slot.device.deviceType === claim.deviceType),
    );
  }

  private smallestDomain(claim: ResourceClaim, among: readonly Slot[]): Slot[] | null {
    const domainOf = DOMAIN_OF[claim.schedulingPolicy.topologyScope];
    const domains = Map.groupBy(
      among.filter((slot) => isLargeEnough(slot, claim)),
      domainOf,
    );
    const fitting = [...domains.values()].filter((slots) => slots.length >= claim.count);
    const smallest = fitting.sort((left, right) => left.length - right.length)[0];
    if (smallest === undefined) return null;
    return [...smallest]
      .sort((left, right) => left.device.memoryBytes - right.device.memoryBytes)
      .slice(0, claim.count);
  }
}

function isLargeEnough(slot: Slot, claim: ResourceClaim): boolean {
  return slot.device.memoryBytes >= (claim.memoryBytesPerDevice ?? 0);
}
