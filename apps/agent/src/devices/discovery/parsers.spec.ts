import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseNpuInfo } from './ascend.ts';
import { parseCnmon } from './cambricon.ts';
import type { FoundDevice } from './found.ts';
import { coresIn } from './machine.ts';
import { parseNvidiaQuery } from './nvidia.ts';
import { VENDORS } from './tools.ts';
import { parseTopology } from './topology-matrix.ts';

const MIB = 1_048_576;
const SHARED = 1_000 * MIB;
const recorded = (name: string) =>
  readFileSync(join(import.meta.dirname, '../../../../../test/fixtures/devices', name), 'utf8');
/** `<index>: <MiB>`, with what else is known. */
const words = ({ index, memoryBytes, utilisation, busId, problem }: FoundDevice) =>
  [
    `${index}: ${memoryBytes / MIB}`,
    utilisation ?? '-',
    busId ?? '-',
    ...(problem === undefined ? [] : [problem]),
  ].join(' ');

describe('nvidia-smi', () => {
  it.each<[string, string, string[], string[]]>([
    ['nothing', '', [], []],
    ['none', 'No devices were found\n', [], []],
    [
      'two GPUs',
      '0, GPU-8c1f0a2e-1111-2222-3333-444444444444, 00000000:3B:00.0, 81559, 93\n1, GPU-9d, 00000000:AF:00.0, 81559, 0\n',
      ['0: 81559 0.93 0000:3b:00.0', '1: 81559 0 0000:af:00.0'],
      [],
    ],
    ['what it cannot tell is not zero', '0, GPU-a, 00000000:3B:00.0, 7611, [N/A]', ['0: 7611 - 0000:3b:00.0'], []],
    ['in the words of older releases', '0, GPU-a, 0000:3B:00.0, 7611, [Not Supported]', ['0: 7611 - 0000:3b:00.0'], []],
    ['memory shared with the machine', '0, GPU-a, 0000000F:01:00.0, [N/A], 3', ['0: 1000 0.03 000f:01:00.0'], []],
    [
      'one that must be reset',
      '0, GPU-a, 00000000:3B:00.0, [GPU requires reset], [GPU requires reset]',
      ['0: 0 - 0000:3b:00.0 nvidia-smi says of it: [GPU requires reset]'],
      [],
    ],
    [
      'one that fell off the bus, beside one that is there',
      'Unable to determine the device handle for GPU0: 0000:34:00.0: Unknown Error\n1, GPU-b, 00000000:AF:00.0, 81559, 5',
      ['1: 81559 0.05 0000:af:00.0'],
      ['nvidia-smi lost a GPU: Unable to determine the device handle for GPU0: 0000:34:00.0: Unknown Error'],
    ],
    [
      'no driver',
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      [],
      [
        "nvidia-smi said what is not understood: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      ],
    ],
    [
      'an index twice',
      '0, GPU-a, 00000000:3B:00.0, 10, 1\n0, GPU-b, 00000000:3C:00.0, 10, 1',
      ['0: 10 0.01 0000:3b:00.0'],
      ['nvidia-smi said what is not understood: 0, GPU-b, 00000000:3C:00.0, 10, 1'],
    ],
    ['a line that was cut', '0, GPU-a, 00000', [], ['nvidia-smi said what is not understood: 0, GPU-a, 00000']],
  ])('%s', (_case, text, want, warnings) => {
    const reading = parseNvidiaQuery(text, SHARED);
    expect([reading.devices.map(words), reading.warnings]).toEqual([want, warnings]);
  });
});

describe('npu-smi', () => {
  it.each<[string, string, string[]]>([
    [
      'of 2024, 910B3',
      'npu-smi-info-24.1-910b3.txt',
      [
        '0: 65536 0 0000:c1:00.0',
        '1: 65536 0 0000:c2:00.0',
        '2: 65536 0 0000:81:00.0',
        '3: 65536 0 0000:82:00.0',
        '4: 65536 0 0000:01:00.0',
        '5: 65536 0 0000:02:00.0',
        '6: 65536 0 0000:41:00.0',
        '7: 65536 0 0000:42:00.0',
      ],
    ],
    [
      'cards of two chips, by physical id, whatever runs on them',
      'npu-smi-info-24.1-a3.txt',
      ['0: 65536 0 0000:9d:00.0', '1: 65536 0 0000:9f:00.0', '2: 65536 0.08 0000:99:00.0', '3: 65536 0 0000:9b:00.0'],
    ],
    [
      'of 2022, with HBM beside memory',
      'npu-smi-info-21.0-910a.txt',
      ['0: 32768 0 0000:c1:00.0', '1: 32768 0 0000:81:00.0'],
    ],
    ['without HBM', 'npu-smi-info-23.0-310p3.txt', ['24: 21527 0 0000:04:00.0']],
    ['a warning computes on', 'npu-smi-info-23.0-warning.txt', ['1: 32768 0 0000:81:00.0']],
  ])('%s', (_case, file, want) => {
    const reading = parseNpuInfo(recorded(file));
    expect([reading.devices.map(words), reading.warnings]).toEqual([want, []]);
  });

  it('a card in alarm is there and cannot be used', () => {
    const text = recorded('npu-smi-info-21.0-910a.txt').replace('| OK            | 67.2', '| Alarm         | 67.2');
    expect(parseNpuInfo(text).devices.map(words)).toEqual([
      '0: 32768 0 0000:c1:00.0',
      '1: 32768 0 0000:81:00.0 npu-smi calls it Alarm',
    ]);
  });

  it('words instead of a table', () => {
    const text = 'DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi model initialized failed. ret is -8020';
    expect(parseNpuInfo(text)).toEqual({
      devices: [],
      warnings: [expect.stringMatching(/not understood: DrvMng.*-8020/)],
    });
  });
});

describe('cnmon', () => {
  it.each<[string, string, string[]]>([
    ['of 2022', 'cnmon-4.20.txt', ['0: 23308 0 -', '1: 23308 0 -', '2: 23308 0 -']],
    ['of 2024', 'cnmon-5.10.txt', ['0: 23374 0 0000:39:00.0', '1: 23374 0 0000:3d:00.0']],
  ])('%s', (_case, file, want) => {
    const reading = parseCnmon(recorded(file));
    expect([reading.devices.map(words), reading.warnings]).toEqual([want, []]);
  });

  it('a card that is not up cannot be used', () => {
    const text = recorded('cnmon-4.20.txt').replace(
      '| 1     /   MLU370-X4    v1.1.6 | On ',
      '| 1     /   MLU370-X4    v1.1.6 | Off',
    );
    expect(parseCnmon(text).devices[1]).toMatchObject({ index: '1', problem: 'cnmon says that it is Off' });
  });

  it('words instead of a table', () => {
    expect(parseCnmon('cndev init failed').warnings).toEqual(['cnmon said what is not understood: cndev init failed']);
  });
});

describe('link domains', () => {
  const of = (type: string) => VENDORS.find(({ deviceType }) => deviceType === type)!.readTopology;
  const domains = (found: ReadonlyMap<string, string>) => {
    const names = [...new Set(found.values())];
    return names.map((name) =>
      [...found]
        .filter(([, each]) => each === name)
        .map(([index]) => index)
        .join(''),
    );
  };

  it.each<[string, string, string, string[]]>([
    ['T05 NVLink over switches', 'nvidia.com/gpu', recorded('nvidia-topo-h100.txt'), ['01234567']],
    ['T05 NVLink, a cube of two meshes', 'nvidia.com/gpu', recorded('nvidia-topo-v100.txt'), ['0123', '4567']],
    ['one GPU', 'nvidia.com/gpu', recorded('nvidia-topo-p4.txt'), []],
    ['T05 HCCS', 'huawei.com/ascend-npu', recorded('npu-smi-topo-910b3.txt'), ['01234567']],
    [
      'T05 MLU-Link',
      'cambricon.com/mlu',
      '       MLU0  MLU1  MLU2  MLU3  CPU Affinity\nMLU0   X     MLK   CPU   CPU   0-31\nMLU1   MLK   X     CPU   CPU   0-31\nMLU2   CPU   CPU   X     MLK   0-31\nMLU3   CPU   CPU   MLK   X     0-31\n',
      ['01', '23'],
    ],
    [
      'with underlined heads, as on a terminal',
      'nvidia.com/gpu',
      '\t\u001b[4mGPU0\tGPU1\tCPU Affinity\u001b[0m\nGPU0\t X \tNV4\t0\nGPU1\tNV4\t X \t0\n',
      ['01'],
    ],
    ['a link that only one side tells of is none', 'nvidia.com/gpu', '  GPU0 GPU1\nGPU0 X NV1\nGPU1 SYS X\n', []],
    ['garbage', 'nvidia.com/gpu', '\u0000GPU0 GPU\nGPU1\n\n X X X', []],
  ])('%s', (_case, type, text, want) => {
    expect(domains(of(type)(text))).toEqual(want);
  });
});

describe('any bytes at all', () => {
  /** From one seed: pieces of real outputs, cut and joined, so that they come near to being read. */
  const mangled = (seed: number): string => {
    const files = ['npu-smi-info-24.1-a3.txt', 'cnmon-5.10.txt', 'nvidia-topo-v100.txt', 'npu-smi-topo-910b3.txt'];
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    return Array.from({ length: 6 }, () => {
      const text = recorded(files[random(files.length)]!);
      const from = random(text.length);
      return text.slice(from, from + random(400)) + String.fromCharCode(random(256));
    }).join('');
  };

  it('make no device twice, and no crash', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const text = mangled(seed);
      for (const parse of [parseNpuInfo, parseCnmon, (each: string) => parseNvidiaQuery(each, SHARED)]) {
        const ids = parse(text).devices.map(({ index }) => index);
        expect([seed, new Set(ids).size]).toEqual([seed, ids.length]);
      }
      parseTopology(text, 'GPU', (cell) => cell.startsWith('NV'));
    }
  });
});

describe('lists of cores', () => {
  it.each([
    ['0-3,8\n', [0, 1, 2, 3, 8]],
    ['', []],
    ['3-1', []],
    ['0-x,5', [5]],
  ])('%j', (text, want) => {
    expect(coresIn(text)).toEqual(want);
  });
});
