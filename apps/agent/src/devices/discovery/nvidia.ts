// `nvidia-smi --query-gpu=… --format=csv,noheader,nounits`: a line a GPU. The fields asked for are known to every release
// since 2014; one that a GPU cannot tell stands in brackets. Pure.
import { busIdIn, type FoundDevice, mebibytesIn, shareIn, short, type ToolReading } from './found.ts';

export const NVIDIA_QUERY = [
  '--query-gpu=index,uuid,pci.bus_id,memory.total,utilization.gpu',
  '--format=csv,noheader,nounits',
];

/** A GPU that fell off the bus is not in the list: a line of its own says so, by number or place. */
const LOST = /device handle for GPU\s*(?:(\d{1,3}):?(?:\s|$))?\s*:?\s*([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])?/i;
const NONE = /^No devices were found/i;
/** What stands for a value that there is none of, and says nothing bad. */
const UNTOLD = /^\[?(N\/A|Not Supported|Unknown)\]?$/i;

/** `sharedMemoryBytes`: what a GPU has that shares the machine's memory and tells none of its own. */
export function parseNvidiaQuery(text: string, sharedMemoryBytes: number): ToolReading {
  const devices: FoundDevice[] = [];
  const warnings: string[] = [];
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const found = deviceOf(line, sharedMemoryBytes);
    const isKnown = found !== null && devices.some(({ index }) => index === found.index);
    if (found !== null && !isKnown) devices.push(found);
    else if (LOST.test(line)) warnings.push(`nvidia-smi lost a GPU: ${short(line)}`);
    else if (!NONE.test(line)) warnings.push(`nvidia-smi said what is not understood: ${short(line)}`);
  }
  return { devices, warnings };
}

function deviceOf(line: string, sharedMemoryBytes: number): FoundDevice | null {
  const fields = line.split(',').map((field) => field.trim());
  const [index, uuid, bus, memory, utilisation] = fields as [string, string, string, string, string];
  if (fields.length !== 5 || !/^\d{1,3}$/.test(index) || !/^(GPU|MIG)-/.test(uuid)) return null;
  const share = shareIn(utilisation);
  const busId = busIdIn(bus);
  const base = {
    index,
    ...(share === undefined ? {} : { utilisation: share }),
    ...(busId === undefined ? {} : { busId }),
  };
  const memoryBytes = mebibytesIn(memory);
  if (memoryBytes !== null) return { ...base, memoryBytes };
  if (UNTOLD.test(memory)) return { ...base, memoryBytes: sharedMemoryBytes };
  return { ...base, memoryBytes: 0, problem: `nvidia-smi says of it: ${short(memory)}` };
}
