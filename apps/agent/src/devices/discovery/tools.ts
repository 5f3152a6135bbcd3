// The vendors' tools: how each is called and read. A tool that is not installed has no devices; one that does not answer
// in its time says nothing, which is not the same as that there are none.
import { type ExecFileOptionsWithStringEncoding, execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DeviceType } from '#domain';
import { hasCode, messageOf } from '../../errors.ts';
import { parseNpuInfo } from './ascend.ts';
import { parseCnmon } from './cambricon.ts';
import { short, type ToolReading } from './found.ts';
import { NVIDIA_QUERY, parseNvidiaQuery } from './nvidia.ts';
import { parseTopology } from './topology-matrix.ts';

const TIMEOUT_MS = 10_000;
/** From SIGKILL to its end. */
const KILLED_MS_MAX = 1_000;
const OUTPUT_BYTES_MAX = 1_048_576;

export interface Vendor {
  readonly deviceType: DeviceType;
  readonly program: string;
  readonly list: readonly string[];
  readonly read: (text: string, machineMemoryBytes: number) => ToolReading;
  readonly topology: readonly string[];
  readonly readTopology: (text: string) => ReadonlyMap<string, string>;
  /** Of PCI devices, in hexadecimal. */
  readonly pciVendor: string;
}

export const VENDORS: readonly Vendor[] = [
  {
    deviceType: 'nvidia.com/gpu',
    program: 'nvidia-smi',
    list: NVIDIA_QUERY,
    read: parseNvidiaQuery,
    topology: ['topo', '-m'],
    readTopology: (text) => parseTopology(text, 'GPU', (cell) => /^NV\d+$/.test(cell)),
    pciVendor: '0x10de',
  },
  {
    deviceType: 'huawei.com/ascend-npu',
    program: 'npu-smi',
    list: ['info'],
    read: parseNpuInfo,
    topology: ['info', '-t', 'topo'],
    readTopology: (text) => parseTopology(text, 'NPU', (cell) => /^(HCCS\w*|SIO)$/.test(cell)),
    pciVendor: '0x19e5',
  },
  {
    deviceType: 'cambricon.com/mlu',
    program: 'cnmon',
    list: [],
    read: parseCnmon,
    topology: ['topo', '-m'],
    readTopology: (text) => parseTopology(text, 'MLU', (cell) => /^MLK\d*$/.test(cell)),
    pciVendor: '0xcabc',
  },
];

export type ToolAnswer =
  | { readonly answer: 'said'; readonly text: string }
  | { readonly answer: 'absent' }
  /** It failed, or did not end in its time. */
  | { readonly answer: 'silent'; readonly reason: string };

/** Runs a tool of a vendor. Never throws. */
export type RunTool = (program: string, parameters: readonly string[]) => Promise<ToolAnswer>;

type Execute = (
  program: string,
  parameters: readonly string[],
  options: ExecFileOptionsWithStringEncoding,
) => Promise<{ readonly stdout: string }>;

/**
 * `environment`: where programs are looked for; a tool gets nothing else of it. `execute`: default `execFile`; what it does
 * not settle in time is not waited for, and not called a second time before it does: a tool that its driver holds cannot
 * be killed.
 */
export function toolRunner(
  environment: Readonly<Record<string, string | undefined>>,
  timeoutMs = TIMEOUT_MS,
  execute: Execute = promisify(execFile),
): RunTool {
  const held = new Set<string>();
  return async (program, parameters) => {
    const unkillable: ToolAnswer = { answer: 'silent', reason: `${program}: cannot even be killed` };
    if (held.has(program)) return unkillable;
    const bound = new AbortController();
    const late = delay(timeoutMs + KILLED_MS_MAX, undefined, { signal: bound.signal });
    const ended = execute(program, parameters, {
      encoding: 'utf8',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES_MAX,
      env: { PATH: environment.PATH, LD_LIBRARY_PATH: environment.LD_LIBRARY_PATH, LC_ALL: 'C' },
    }).then(
      ({ stdout }): ToolAnswer => ({ answer: 'said', text: stdout }),
      (cause: unknown): ToolAnswer => (hasCode(cause, 'ENOENT') ? { answer: 'absent' } : failedAnswer(program, cause)),
    );
    const isLate = late.then(() => {
      held.add(program);
      void ended.then(() => held.delete(program));
      return unkillable;
    });
    return Promise.race([ended, isLate]).finally(() => bound.abort());
  };
}

/** A tool may fail for one device and list the others all the same; that there are none is an answer too. */
function failedAnswer(program: string, cause: unknown): ToolAnswer {
  const { stdout = '', killed = false } = cause as { stdout?: string; killed?: boolean };
  if (!killed && (/^\d+, (GPU|MIG)-/m.test(stdout) || /^No devices were found/im.test(stdout)))
    return { answer: 'said', text: stdout };
  const words = killed ? 'did not end in its time' : short(stdout) || short(messageOf(cause));
  return { answer: 'silent', reason: `${program}: ${words}` };
}
