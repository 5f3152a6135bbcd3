// `cnmon`: a table with two rows a card. Releases before 5 say in the second column whether a card is up, later ones where
// it is on the bus. Pure.
import { busIdIn, type FoundDevice, mebibytesIn, shareIn, short, type ToolReading } from './found.ts';

const FIRST_ROW = /^(\d{1,3})\s+(?:\S+\s+)?(\S*MLU\S*)/i;
const MEMORY = /(\d+)\s*MiB\s*\/\s*(\d+)\s*MiB/;

export function parseCnmon(text: string): ToolReading {
  const devices: FoundDevice[] = [];
  const warnings: string[] = [];
  let first: string[] | undefined;
  for (const cells of rowsOf(text)) {
    if (/^Processes/.test(cells[0] ?? '')) break;
    if (FIRST_ROW.test(cells[0] ?? '')) {
      first = cells;
      continue;
    }
    const device = first && cardOf(first, cells);
    if (device && !devices.some(({ index }) => index === device.index)) devices.push(device);
    else if (first !== undefined) warnings.push(`cnmon said what is not understood: ${short(cells.join(' | '))}`);
    first = undefined;
  }
  if (devices.length === 0 && warnings.length === 0 && !/CNMON/.test(text) && text.trim() !== '')
    warnings.push(`cnmon said what is not understood: ${short(text)}`);
  return { devices, warnings };
}

function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('|') && !line.startsWith('|='))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

function cardOf(
  [name = '', state = '', load = '']: readonly string[],
  [, memory = '']: readonly string[],
): FoundDevice | null {
  const index = FIRST_ROW.exec(name)?.[1];
  const memoryBytes = mebibytesIn(MEMORY.exec(memory)?.[2] ?? '');
  if (index === undefined || memoryBytes === null) return null;
  const share = shareIn(/^(\d+)\s*%/.exec(load)?.[1] ?? '');
  const [up = ''] = state.split(/\s+/);
  const busId = busIdIn(up);
  const isUp = busId !== undefined || up === 'On';
  return {
    index,
    memoryBytes,
    ...(share === undefined ? {} : { utilisation: share }),
    ...(busId === undefined ? {} : { busId }),
    ...(isUp ? {} : { problem: `cnmon says that it is ${short(up) || 'not up'}` }),
  };
}
