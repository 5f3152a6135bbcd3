// The machines and devices that the report tells of and replicas and tasks are bound to: what the configuration says, or
// this machine with a CPU device a core and the accelerators that its tools name, looked at again and again.
//
// A device that was told of, or is held, and that a tool which answers does not name in two looks in a row, seconds apart
// (or calls broken in both), is lost: said once, until it comes back. CPU devices never get lost.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Device, type DeviceHolding, type DeviceType, deviceKey, type Labels, type Node } from '#domain';
import { messageOf } from '../errors.ts';
import { type KnownDevices, type Look, lookForDevices } from './discovery/discover.ts';
import { deviceTypeOf } from './discovery/found.ts';
import { cpuDevices, DEVICES_MAX, type MachineFacts, readMachine } from './discovery/machine.ts';
import type { RunTool } from './discovery/tools.ts';

/** A driver that starts anew, or is reset, names nothing for a moment. */
const SECOND_LOOK_MS = 2_000;

export interface LostDevice {
  readonly node: string;
  readonly deviceId: string;
  readonly deviceType: DeviceType;
  /** One sentence. */
  readonly reason: string;
}

/** Where this machine stands, for nodes that are discovered. */
export interface NodeDescription {
  /** Default: the host's name. */
  readonly name?: string | undefined;
  readonly rack?: string | undefined;
  readonly zone?: string | undefined;
  readonly labels?: Labels | undefined;
}

export interface DeviceInventoryOptions {
  /** They take the place of what the machine says; nothing is looked for then. */
  readonly configured?: readonly Node[] | undefined;
  /** False: only CPU devices. */
  readonly isDiscovering: boolean;
  readonly node: NodeDescription;
  readonly intervalMs: number;
  /** Between the look that misses a device and the one that says it is lost. Default 2 s. */
  readonly secondLookMs?: number;
  readonly run: RunTool;
  /** Default: this machine's. */
  readonly machine?: () => Promise<MachineFacts>;
  /** What is held now, so that it is told also when it was lost while no agent ran. */
  readonly holdings: () => readonly DeviceHolding[];
  readonly onChange: () => void;
  readonly onLost: (lost: LostDevice) => void;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export class DeviceInventory {
  readonly #options: DeviceInventoryOptions;
  #machine: MachineFacts | undefined;
  #known: KnownDevices = new Map();
  #nodes: readonly Node[];
  /** Keys that were told as lost. */
  readonly #lost = new Set<string>();
  #warned = '';
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** The one to come, for all who ask while one is under way. */
  #next: Promise<void> | undefined;
  #isLooking = false;
  readonly #stopping = new AbortController();

  constructor(options: DeviceInventoryOptions) {
    this.#options = options;
    this.#nodes = options.configured ?? [];
  }

  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** Resolves once the machine has been looked at for the first time. */
  async open(): Promise<void> {
    if (this.#options.configured !== undefined) return;
    this.#machine = await (this.#options.machine ?? readMachine)();
    if (this.#options.isDiscovering) this.#take(await this.#look(this.#machine));
    else this.#list(this.#machine);
  }

  start(): void {
    const { configured, isDiscovering, intervalMs } = this.#options;
    if (configured !== undefined || !isDiscovering) return;
    // A tool that takes longer than the interval is not asked twice at a time, and no looks pile up.
    this.#timer = setInterval(() => {
      if (!this.#isLooking) void this.lookAgain();
    }, intervalMs);
    void this.lookAgain();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#looking;
  }

  /** A look that begins after this was called; those who ask before it begins share it. Never throws. */
  lookAgain(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    this.#next = this.#looking.then(() => this.#lookNow());
    this.#looking = this.#next;
    return this.#next;
  }

  async #lookNow(): Promise<void> {
    this.#next = undefined;
    this.#isLooking = true;
    try {
      if (!this.#stopping.signal.aborted) await this.#lookTwice();
    } catch (cause) {
      this.#options.log.warn({ reason: messageOf(cause) }, 'devices not looked at');
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookTwice(): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined) return;
    const first = await this.#look(machine);
    const missing = this.#missing(first);
    if (missing.length === 0) return this.#take(first);
    const { secondLookMs = SECOND_LOOK_MS } = this.#options;
    const { signal } = this.#stopping;
    await delay(secondLookMs, undefined, { signal }).catch(() => undefined);
    // Whoever stops says nothing more: what is lost is still held, and is found by the next start.
    if (signal.aborted) return;
    const second = await this.#look(machine);
    const isStill = new Set(missing.map(({ node, deviceId }) => deviceKey(node, deviceId)));
    const lost = this.#missing(second).filter(({ node, deviceId }) => isStill.has(deviceKey(node, deviceId)));
    this.#take(second);
    for (const each of lost) {
      this.#lost.add(deviceKey(each.node, each.deviceId));
      this.#options.log.warn({ device: each.deviceId, reason: each.reason }, 'device lost');
      this.#options.onLost(each);
    }
  }

  #look(machine: MachineFacts): Promise<Look> {
    return lookForDevices(this.#options.run, machine, this.#known);
  }

  /** What was told of, or is held, is not named, and was not told as lost. */
  #missing({ known, answered, problems }: Look): LostDevice[] {
    const name = this.#name();
    const before = [...this.#known.values()].flat().map(({ id }) => id);
    const held = this.#options.holdings().flatMap(({ devices }) => devices.filter(({ node }) => node === name));
    const ids = new Set([...before, ...held.flatMap(({ deviceIds }) => deviceIds)]);
    return [...ids].flatMap((deviceId): LostDevice[] => {
      const deviceType = deviceTypeOf(deviceId);
      if (deviceType === undefined || !answered.has(deviceType) || this.#lost.has(deviceKey(name, deviceId))) return [];
      if (known.get(deviceType)?.some(({ id }) => id === deviceId)) return [];
      const problem = problems.get(deviceId);
      const reason =
        problem === undefined
          ? `device ${deviceId} is not there any more`
          : `device ${deviceId} has failed: ${problem}`;
      return [{ node: name, deviceId, deviceType, reason }];
    });
  }

  #take({ known, warnings }: Look): void {
    this.#known = known;
    const name = this.#name();
    for (const { id } of [...known.values()].flat()) {
      if (this.#lost.delete(deviceKey(name, id))) this.#options.log.info({ device: id }, 'device is back');
    }
    // The same words again and again say nothing new.
    const words = warnings.join('; ');
    if (words !== this.#warned && words !== '') this.#options.log.warn({ reason: words }, 'devices not understood');
    this.#warned = words;
    if (this.#machine !== undefined) this.#list(this.#machine);
  }

  #list(machine: MachineFacts): void {
    const { rack, zone, labels } = this.#options.node;
    const accelerators = [...this.#known.values()].flat().slice(0, DEVICES_MAX - 1);
    const devices = [...cpuDevices(machine).slice(0, DEVICES_MAX - accelerators.length), ...accelerators];
    const before = this.#nodes;
    this.#nodes = [
      {
        name: this.#name(),
        ...(rack === undefined ? {} : { rack }),
        ...(zone === undefined ? {} : { zone }),
        ...(labels === undefined ? {} : { labels }),
        devices,
      },
    ];
    if (shapeOf(before) !== shapeOf(this.#nodes)) this.#options.onChange();
  }

  #name(): string {
    return this.#options.node.name ?? this.#machine?.name ?? 'localhost';
  }
}

/** Without how busy they are: that is told with the next regular report. */
function shapeOf(nodes: readonly Node[]): string {
  const plain = ({ utilisation: _, ...device }: Device) => device;
  return JSON.stringify(nodes.map((node) => ({ ...node, devices: node.devices.map(plain) })));
}
