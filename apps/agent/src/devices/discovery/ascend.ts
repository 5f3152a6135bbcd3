// `npu-smi info`: a table with two rows a chip. Its columns came with the releases (`HBM-Usage`, `Phy-ID`), so they are
// read by their heads. Chips that have a physical id are counted by it, as the runtime does; older tools name one chip a
// card. Pure.
import { busIdIn, type FoundDevice, mebibytesIn, shareIn, short, type ToolReading } from './found.ts';

/** `Warning` computes on; what is worse does not. */
const HEALTHY = new Set(['OK', 'Warning']);

interface Card {
  readonly id: string;
  readonly health: string;
}

export function parseNpuInfo(text: string): ToolReading {
  const devices: FoundDevice[] = [];
  const warnings: string[] = [];
  let head: string[] | undefined;
  let card: Card | undefined;
  for (const cells of rowsOf(text)) {
    const [first = '', second = ''] = cells;
    if (/^NPU\s+Chip/.test(first)) break; // The table of processes.
    if (/^NPU\s+Name/.test(first)) continue;
    if (/^Chip\b/.test(first)) head = cells;
    else if (head === undefined) continue;
    else if (busIdIn(second) === undefined) card = cardOf(first, second);
    else {
      const device = card && chipOf(cells, card, head);
      if (device && !devices.some(({ index }) => index === device.index)) devices.push(device);
      else warnings.push(`npu-smi said what is not understood: ${short(cells.join(' | '))}`);
    }
  }
  if (head === undefined && text.trim() !== '') warnings.push(`npu-smi said what is not understood: ${short(text)}`);
  return { devices, warnings };
}

function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

function cardOf(first: string, health: string): Card | undefined {
  const [id = ''] = first.split(/\s+/);
  return /^\d{1,4}$/.test(id) ? { id, health } : undefined;
}

function chipOf(
  [first = '', bus = '', load = '']: readonly string[],
  card: Card,
  head: readonly string[],
): FoundDevice | null {
  const [chip = '', physical] = first.split(/\s+/);
  const isById = /Phy-ID/.test(head[0] ?? '');
  // The last pair is that of the memory that models lie in: HBM where there is such.
  const pairs = [...load.matchAll(/(\d+)\s*\/\s*(\d+)/g)].map(([, , total]) => mebibytesIn(total!) ?? 0);
  const memoryBytes = pairs.at(-1);
  const index = isById ? physical : chip === '0' ? card.id : `${card.id}.${chip}`;
  if (memoryBytes === undefined || index === undefined || !/^\d+(\.\d+)?$/.test(index)) return null;
  const share = shareIn(load.split(/\s+/)[0] ?? '');
  const problem = HEALTHY.has(card.health) ? undefined : `npu-smi calls it ${short(card.health) || 'nothing'}`;
  return {
    index,
    memoryBytes,
    ...(share === undefined ? {} : { utilisation: share }),
    ...(problem === undefined ? {} : { problem }),
    busId: busIdIn(bus)!,
  };
}
