/**
 * The devices of one type in one cluster: slots 0 … `size` − 1, a range for each node, in it by memory (the least first)
 * and then by link domain. Who holds them is kept elsewhere and only read here. It tells those who watch which nodes
 * changed, and picks devices within a node.
 */
import type { Device, DeviceType } from '#domain';
import type { Topology } from './topology.ts';

/** Memory grades from the least that suffices to the most that may be used, both included. */
export interface Band {
  readonly low: number;
  readonly high: number;
}

export interface PoolWatcher {
  /** Some device of this node was taken or given back. */
  touch(node: number): void;
}

/** With more sizes of memory than that in a cluster, a device with more than enough is as good as another. */
const GRADES_MAX = 4;

/** What of a pool never changes: made once of a list of nodes, however many accounts are kept of it. */
export class PoolLayout {
  /** In the order of slots. */
  readonly deviceIds: readonly string[];
  /** Node → its first slot; one more entry than nodes. */
  readonly firstSlots: Int32Array;
  readonly nodeOfSlot: Int32Array;
  /** Bytes of each memory grade, rising; slot → its grade. */
  readonly grades: readonly number[];
  readonly gradeOf: Int32Array;
  /** Slot → its link domain, counted within its node from 0. */
  readonly linkOf: Int32Array;
  /** Whether any two devices are linked. */
  readonly hasLinks: boolean;
  /** Most devices in a node. */
  readonly nodeMax: number;

  constructor(
    readonly topology: Topology,
    readonly deviceType: DeviceType,
  ) {
    const perNode = topology.nodes.map(({ devices }) => inSlotOrder(devices, deviceType));
    const all = perNode.flat();
    this.deviceIds = all.map(({ id }) => id);
    this.grades = [...new Set(all.map(({ memoryBytes }) => memoryBytes))].sort((left, right) => left - right);
    this.gradeOf = gradesOf(all, this.grades);
    this.linkOf = new Int32Array(all.length);
    this.firstSlots = new Int32Array(perNode.length + 1);
    this.nodeOfSlot = new Int32Array(all.length);
    let hasLinks = false;
    perNode.forEach((devices, node) => {
      const first = this.firstSlots[node]!;
      this.firstSlots[node + 1] = first + devices.length;
      this.nodeOfSlot.fill(node, first, first + devices.length);
      hasLinks = numberLinks(devices, this.linkOf, first) < devices.length || hasLinks;
    });
    this.nodeMax = perNode.reduce((most, { length }) => Math.max(most, length), 0);
    this.hasLinks = hasLinks;
  }
}

export class DevicePool {
  readonly topology: Topology;
  readonly deviceType: DeviceType;
  private readonly deviceIds: PoolLayout['deviceIds'];
  private readonly firstSlots: Int32Array;
  private readonly nodeOfSlot: Int32Array;
  private readonly grades: PoolLayout['grades'];
  private readonly gradeOf: Int32Array;
  private readonly linkOf: Int32Array;
  private readonly watchers: PoolWatcher[] = [];
  /** Level → devices in its largest domain; made when asked for. */
  private readonly largest: (number | undefined)[] = [];
  readonly hasLinks: boolean;
  readonly nodeMax: number;
  private freeCount: number;
  private changeCount = 0;
  /** Slots within a node that the pick under way has chosen; free devices by link domain; grade that so many need. */
  private readonly isChosen: Uint8Array;
  private readonly freeByLink: Int32Array;
  private readonly gradeByLink: Int32Array;

  constructor(layout: PoolLayout) {
    this.topology = layout.topology;
    this.deviceType = layout.deviceType;
    this.deviceIds = layout.deviceIds;
    this.firstSlots = layout.firstSlots;
    this.nodeOfSlot = layout.nodeOfSlot;
    this.grades = layout.grades;
    this.gradeOf = layout.gradeOf;
    this.linkOf = layout.linkOf;
    this.hasLinks = layout.hasLinks;
    this.nodeMax = layout.nodeMax;
    this.freeCount = layout.deviceIds.length;
    this.isChosen = new Uint8Array(this.nodeMax);
    this.freeByLink = new Int32Array(this.nodeMax);
    this.gradeByLink = new Int32Array(this.nodeMax);
  }

  get size(): number {
    return this.deviceIds.length;
  }

  get free(): number {
    return this.freeCount;
  }

  /** Rises with every change. */
  get changes(): number {
    return this.changeCount;
  }

  /** Of the largest device. */
  /** Each that a device has, ascending. */
  get memories(): readonly number[] {
    return this.grades;
  }

  get memoryBytesMax(): number {
    return this.grades.at(-1) ?? 0;
  }

  /** Devices, free or not, in the largest domain of a level. */
  largestAt(level: number): number {
    const known = this.largest[level];
    if (known !== undefined) return known;
    let most = 0;
    for (let domain = 0; domain < this.topology.sizeAt(level); domain += 1) {
      const from = this.firstSlot(this.topology.firstNode(level, domain));
      most = Math.max(most, this.firstSlot(this.topology.firstNode(level, domain + 1)) - from);
    }
    this.largest[level] = most;
    return most;
  }

  watch(watcher: PoolWatcher): void {
    this.watchers.push(watcher);
  }

  unwatch(watcher: PoolWatcher): void {
    this.watchers.splice(this.watchers.indexOf(watcher), 1);
  }

  /** A slot was taken or given back. */
  changed(slot: number, isFree: boolean): void {
    this.freeCount += isFree ? 1 : -1;
    this.changeCount += 1;
    const node = this.nodeOfSlot[slot]!;
    for (const watcher of this.watchers) watcher.touch(node);
  }

  firstSlot(node: number): number {
    return this.firstSlots[node]!;
  }

  nodeOf(slot: number): number {
    return this.nodeOfSlot[slot]!;
  }

  linkDomainOf(slot: number): number {
    return this.linkOf[slot]!;
  }

  deviceIdOf(slot: number): string {
    return this.deviceIds[slot]!;
  }

  /** The slot of a device, looked for from slot `from` of its node on and round; −1: there is none. */
  slotOf(node: number, deviceId: string, from: number): number {
    const first = this.firstSlots[node]!;
    const end = this.firstSlots[node + 1]!;
    const start = from >= first && from < end ? from : first;
    for (let slot = start; slot < end; slot += 1) if (this.deviceIds[slot] === deviceId) return slot;
    for (let slot = first; slot < start; slot += 1) if (this.deviceIds[slot] === deviceId) return slot;
    return -1;
  }

  /** The least grade with at least so much memory; the number of grades when no device has it. */
  gradeFor(memoryBytes: number): number {
    let low = 0;
    for (let high = this.grades.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.grades[middle]! < memoryBytes) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What devices of at least a grade may be taken from, the narrowest band first, the widest last. */
  bandsFrom(low: number): readonly Band[] {
    const count = this.grades.length;
    if (count > GRADES_MAX) return low < count ? [{ low, high: count - 1 }] : [];
    return Array.from({ length: count - low }, (_, index) => ({ low, high: low + index }));
  }

  isInBand(slot: number, { low, high }: Band): boolean {
    const grade = this.gradeOf[slot]!;
    return grade >= low && grade <= high;
  }

  countFree(node: number, { low, high }: Band, holderOf: Int32Array): number {
    const end = this.firstSlots[node + 1]!;
    let count = 0;
    for (let slot = this.firstSlots[node]!; slot < end; slot += 1) {
      const grade = this.gradeOf[slot]!;
      if (holderOf[slot] === 0 && grade >= low && grade <= high) count += 1;
    }
    return count;
  }

  /** How often `each` free devices of one link domain can be had in a node. */
  countLinked(node: number, band: Band, each: number, holderOf: Int32Array): number {
    this.countByLink(node, band, each, holderOf);
    const links = this.linksIn(node);
    let units = 0;
    for (let link = 0; link < links; link += 1) units += Math.floor(this.freeByLink[link]! / each);
    return units;
  }

  /** Free devices in the link domain of a node that has the most. */
  largestLink(node: number, band: Band, holderOf: Int32Array): number {
    this.countByLink(node, band, 1, holderOf);
    let most = 0;
    for (let link = 0; link < this.linksIn(node); link += 1) most = Math.max(most, this.freeByLink[link]!);
    return most;
  }

  /**
   * Appends the slots of `members` × `each` free devices in a node, of which there are enough. A member gets devices of
   * one link domain when one has enough: the one that needs the least memory, then the one with the fewest left over.
   */
  pick(node: number, band: Band, members: number, each: number, holderOf: Int32Array, into: number[]): void {
    const first = this.firstSlots[node]!;
    this.isChosen.fill(0);
    for (let member = 0; member < members; member += 1) {
      const link = this.hasLinks ? this.tightestLink(node, band, each, holderOf) : -1;
      let missing = each;
      for (let slot = first; missing > 0; slot += 1) {
        const isUsable = holderOf[slot] === 0 && this.isChosen[slot - first] === 0 && this.isInBand(slot, band);
        if (!isUsable || (link !== -1 && this.linkOf[slot] !== link)) continue;
        this.isChosen[slot - first] = 1;
        into.push(slot);
        missing -= 1;
      }
    }
  }

  private tightestLink(node: number, band: Band, each: number, holderOf: Int32Array): number {
    this.countByLink(node, band, each, holderOf, this.isChosen);
    const links = this.linksIn(node);
    let best = -1;
    for (let link = 0; link < links; link += 1) {
      if (this.freeByLink[link]! < each) continue;
      const byMemory = best === -1 ? -1 : this.gradeByLink[link]! - this.gradeByLink[best]!;
      if (byMemory < 0 || (byMemory === 0 && this.freeByLink[link]! < this.freeByLink[best]!)) best = link;
    }
    return best;
  }

  private linksIn(node: number): number {
    return this.firstSlots[node + 1]! - this.firstSlots[node]!;
  }

  /** Fills `freeByLink`, and `gradeByLink` with the grade of the `each`th device, of those not chosen. */
  private countByLink(node: number, band: Band, each: number, holderOf: Int32Array, chosen?: Uint8Array): void {
    const first = this.firstSlots[node]!;
    const end = this.firstSlots[node + 1]!;
    this.freeByLink.fill(0, 0, end - first);
    for (let slot = first; slot < end; slot += 1) {
      if (holderOf[slot] !== 0 || chosen?.[slot - first] === 1 || !this.isInBand(slot, band)) continue;
      const link = this.linkOf[slot]!;
      this.freeByLink[link]! += 1;
      if (this.freeByLink[link] === each) this.gradeByLink[link] = this.gradeOf[slot]!;
    }
  }
}

function inSlotOrder(devices: readonly Device[], deviceType: DeviceType): readonly Device[] {
  const ofType = devices.every((device) => device.deviceType === deviceType)
    ? devices
    : devices.filter((device) => device.deviceType === deviceType);
  const [head] = ofType;
  const isEven = ofType.every((device) => device.memoryBytes === head!.memoryBytes && device.linkDomain === undefined);
  const unique = uniqueById(ofType);
  return isEven ? unique : unique.toSorted(byMemoryThenLink);
}

/** The same device told twice is one. */
function uniqueById(devices: readonly Device[]): readonly Device[] {
  const seen = new Set(devices.map(({ id }) => id));
  if (seen.size === devices.length) return devices;
  seen.clear();
  return devices.filter(({ id }) => !seen.has(id) && seen.add(id));
}

function byMemoryThenLink(left: Device, right: Device): number {
  if (left.memoryBytes !== right.memoryBytes) return left.memoryBytes - right.memoryBytes;
  const [leftLink, rightLink] = [left.linkDomain ?? '', right.linkDomain ?? ''];
  return leftLink === rightLink ? 0 : leftLink < rightLink ? -1 : 1;
}

function gradesOf(devices: readonly Device[], grades: readonly number[]): Int32Array {
  const numbers = new Int32Array(devices.length);
  if (grades.length < 2) return numbers;
  const gradeOf = new Map(grades.map((memoryBytes, grade) => [memoryBytes, grade]));
  for (let slot = 0; slot < numbers.length; slot += 1) numbers[slot] = gradeOf.get(devices[slot]!.memoryBytes)!;
  return numbers;
}

/** Numbers the link domains of a node, and says how many there are. A device without one is linked with itself. */
function numberLinks(devices: readonly Device[], linkOf: Int32Array, first: number): number {
  const numbers = new Map<string, number>();
  let next = 0;
  devices.forEach(({ linkDomain }, index) => {
    const known = linkDomain === undefined ? undefined : numbers.get(linkDomain);
    linkOf[first + index] = known ?? next;
    if (known !== undefined) return;
    if (linkDomain !== undefined) numbers.set(linkDomain, next);
    next += 1;
  });
  return next;
}
