// One look at the accelerators of this machine. What a tool does not say stays as it was known: a tool that hangs loses no
// device; one that answers and does not name it does.
import type { Device, DeviceType } from '#domain';
import { type FoundDevice, ID_PREFIXES } from './found.ts';
import { type MachineFacts } from './machine.ts';
import { type RunTool, VENDORS, type Vendor } from './tools.ts';

/** Type → its devices. Only types of which a tool ever spoke are in it. */
export type KnownDevices = ReadonlyMap<DeviceType, readonly Device[]>;

export interface Look {
  readonly known: KnownDevices;
  /** Types whose tool answered this time: what is not named of them is not there. */
  readonly answered: ReadonlySet<DeviceType>;
  /** Device id → why it cannot be used, of those that are there. */
  readonly problems: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

export async function lookForDevices(run: RunTool, machine: MachineFacts, before: KnownDevices): Promise<Look> {
  const looks = await Promise.all(VENDORS.map((vendor) => lookAt(vendor, run, machine, before)));
  return {
    known: new Map(looks.flatMap(({ known }) => [...known])),
    answered: new Set(looks.flatMap(({ answered }) => [...answered])),
    problems: new Map(looks.flatMap(({ problems }) => [...problems])),
    warnings: looks.flatMap(({ warnings }) => warnings),
  };
}

async function lookAt(vendor: Vendor, run: RunTool, machine: MachineFacts, before: KnownDevices): Promise<Look> {
  const { deviceType, program, list, read, topology, readTopology, pciVendor } = vendor;
  const kept = before.get(deviceType);
  const known: KnownDevices = new Map(kept === undefined ? [] : [[deviceType, kept]]);
  const nothing = { known, answered: new Set<DeviceType>(), problems: new Map<string, string>() };
  const listed = await run(program, list);
  if (listed.answer === 'absent') {
    const onBus = machine.accelerators.get(pciVendor) ?? 0;
    const words = `${onBus} PCI devices of type ${deviceType} are there, but ${program} is not installed: they are not listed`;
    return { ...nothing, warnings: onBus === 0 ? [] : [words] };
  }
  if (listed.answer === 'silent') return { ...nothing, warnings: [listed.reason] };
  const { devices, warnings } = read(listed.text, machine.memoryBytes);
  // Words that are no list are no proof that a device has gone.
  if (devices.length === 0 && warnings.length > 0) return { ...nothing, warnings };
  const links = devices.length > 1 ? await run(program, topology) : ({ answer: 'absent' } as const);
  const domains = links.answer === 'said' ? readTopology(links.text) : domainsOf(kept ?? []);
  const usable = devices.filter(({ problem }) => problem === undefined);
  return {
    known: new Map([[deviceType, usable.map((device) => toDevice(deviceType, device, domains))]]),
    answered: new Set([deviceType]),
    problems: new Map(
      devices.flatMap(({ index, problem }) =>
        problem === undefined ? [] : [[`${ID_PREFIXES[deviceType]}${index}`, problem]],
      ),
    ),
    warnings: [
      ...warnings,
      ...devices.flatMap(({ index, problem }) => (problem === undefined ? [] : [`${deviceType} ${index}: ${problem}`])),
      ...(links.answer === 'silent' ? [links.reason] : []),
    ],
  };
}

function toDevice(deviceType: DeviceType, found: FoundDevice, domains: ReadonlyMap<string, string>): Device {
  const { index, memoryBytes, utilisation } = found;
  const linkDomain = domains.get(index);
  return {
    id: `${ID_PREFIXES[deviceType]}${index}`,
    deviceType,
    memoryBytes,
    ...(utilisation === undefined ? {} : { utilisation }),
    ...(linkDomain === undefined ? {} : { linkDomain }),
  };
}

/** As they were told last. */
function domainsOf(devices: readonly Device[]): ReadonlyMap<string, string> {
  return new Map(
    devices.flatMap(({ id, deviceType, linkDomain }) =>
      linkDomain === undefined ? [] : [[id.slice(ID_PREFIXES[deviceType].length), linkDomain]],
    ),
  );
}
