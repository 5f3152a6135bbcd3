// What a vendor's tool says of the devices of this machine, in one form for all vendors.
import type { DeviceType } from '#domain';

export interface FoundDevice {
  /** As the vendor counts them, and its runtime's variable names them. */
  readonly index: string;
  readonly memoryBytes: number;
  /** 0..1; absent when the tool cannot say. */
  readonly utilisation?: number;
  /** On the PCI bus, lower case: `0000:3b:00.0`. Absent when the tool does not say. */
  readonly busId?: string;
  /** It is there and cannot be used: why. */
  readonly problem?: string;
}

export interface ToolReading {
  readonly devices: readonly FoundDevice[];
  /** What was not understood: one sentence each. */
  readonly warnings: readonly string[];
}

/** What ids of a type begin with; the vendor's index follows. */
export const ID_PREFIXES: Readonly<Record<DeviceType, string>> = {
  'nvidia.com/gpu': 'gpu-',
  'huawei.com/ascend-npu': 'npu-',
  'cambricon.com/mlu': 'mlu-',
  cpu: 'cpu-',
};

/** Of an id that discovery gave; undefined of any other. */
export function deviceTypeOf(id: string): DeviceType | undefined {
  const entry = Object.entries(ID_PREFIXES).find(([, prefix]) => id.startsWith(prefix));
  return entry?.[0] as DeviceType | undefined;
}

const MEBIBYTE = 1_048_576;

/** Of a whole number of MiB (vendors that write MB mean the same); null: it is none. */
export function mebibytesIn(text: string): number | null {
  return /^\d{1,9}$/.test(text) ? Number(text) * MEBIBYTE : null;
}

/** Of a whole number of percent; undefined: it is none. */
export function shareIn(text: string): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) / 100 : undefined;
}

/** `00000000:3B:00.0` and `0000:3b:00.0` are one; undefined: it is none. */
export function busIdIn(text: string): string | undefined {
  const [, domain, rest] = /^([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i.exec(text) ?? [];
  return domain === undefined || rest === undefined ? undefined : `${domain.slice(-4)}:${rest}`.toLowerCase();
}

const WORDS_MAX = 120;

/** Something of a tool's output, fit for a log line. */
export function short(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ').slice(0, WORDS_MAX);
}
