// What the system itself says of this machine: cores, their NUMA nodes, and accelerators on the PCI bus, which are there
// also when no tool speaks for them.
import { readdir, readFile } from 'node:fs/promises';
import { cpus, hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Device } from '#domain';
import { ID_PREFIXES } from './found.ts';
import { VENDORS } from './tools.ts';

/** A node of a report has no more devices (contracts). */
export const DEVICES_MAX = 64;

export interface MachineFacts {
  readonly name: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Core → NUMA node; empty where there is one, or the system does not say. */
  readonly numaOfCore: ReadonlyMap<number, number>;
  /** PCI vendor → accelerators of it on the bus. */
  readonly accelerators: ReadonlyMap<string, number>;
}

export async function readMachine(sys = '/sys'): Promise<MachineFacts> {
  const [numaOfCore, accelerators] = await Promise.all([readNuma(sys), readAccelerators(sys)]);
  return {
    // Host names may hold what the schema does not allow; the report must not fail for that.
    name: hostname().slice(0, 253) || 'localhost',
    cores: Math.min(DEVICES_MAX, Math.max(1, cpus().length)),
    memoryBytes: totalmem(),
    numaOfCore,
    accelerators,
  };
}

/** A `cpu` device a core; those of one NUMA node are one link domain, where there are several. */
export function cpuDevices({ cores, memoryBytes, numaOfCore }: MachineFacts): Device[] {
  return Array.from({ length: cores }, (_, index) => {
    const numa = numaOfCore.get(index);
    return {
      id: `${ID_PREFIXES.cpu}${index}`,
      deviceType: 'cpu' as const,
      memoryBytes: Math.floor(memoryBytes / cores),
      ...(numa === undefined ? {} : { linkDomain: `numa-${numa}` }),
    };
  });
}

async function readNuma(sys: string): Promise<ReadonlyMap<number, number>> {
  const folder = join(sys, 'devices/system/node');
  const nodes = (await readdir(folder).catch(() => [])).filter((name) => /^node\d+$/.test(name));
  if (nodes.length < 2) return new Map();
  const lists = await Promise.all(
    nodes.map(async (name) => {
      const text = await readFile(join(folder, name, 'cpulist'), 'utf8').catch(() => '');
      return coresIn(text).map((core) => [core, Number(name.slice(4))] as const);
    }),
  );
  return new Map(lists.flat());
}

const CORES_MAX = 4_096;

/** `0-3,8`: the kernel's list of cores. What is no list has none. */
export function coresIn(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
      if (from === undefined) return [];
      const length = Math.min(CORES_MAX, Number(to) - Number(from) + 1);
      return Array.from({ length: Math.max(0, length) }, (_, index) => Number(from) + index);
    });
}

/** Display controllers and processing accelerators, by their class. */
const ACCELERATOR_CLASS = /^0x(03|12)/;

async function readAccelerators(sys: string): Promise<ReadonlyMap<string, number>> {
  const folder = join(sys, 'bus/pci/devices');
  const counts = new Map<string, number>();
  const names = await readdir(folder).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const read = (file: string) => readFile(join(folder, name, file), 'utf8').catch(() => '');
      const [vendor, kind] = await Promise.all([read('vendor'), read('class')]);
      const known = VENDORS.some(({ pciVendor }) => pciVendor === vendor.trim());
      if (known && ACCELERATOR_CLASS.test(kind)) counts.set(vendor.trim(), (counts.get(vendor.trim()) ?? 0) + 1);
    }),
  );
  return counts;
}
