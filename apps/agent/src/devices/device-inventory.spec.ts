import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { DeviceHolding, Node } from '#domain';
import { eventually } from '#testing';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { DeviceInventory, type DeviceInventoryOptions } from './device-inventory.ts';
import { type MachineFacts, readMachine } from './discovery/machine.ts';
import { toolRunner } from './discovery/tools.ts';

const fixtures = resolve(import.meta.dirname, '../../../../test/fixtures/devices');
const MIB = 1_048_576;
const GPU = (index: number, memory = '81559') => `${index}, GPU-${index}, 00000000:3${index}:00.0, ${memory}, 7`;
const machine: MachineFacts = {
  name: 'host-1',
  cores: 2,
  memoryBytes: 2_000,
  numaOfCore: new Map(),
  accelerators: new Map(),
};

describe('the devices of this machine, by the vendors’ tools', () => {
  let folder: TemporaryFolder;
  let held: DeviceHolding[];
  let lost: string[];
  let changes: number;
  let warnings: string[];
  beforeEach(async () => {
    folder = await temporaryFolder();
    [held, lost, changes, warnings] = [[], [], 0, []];
  });
  afterEach(() => folder.remove());

  /** A real program by that name, which prints what a tool would. */
  async function tool(name: string, script: string): Promise<void> {
    const path = join(folder.path, name);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
  }
  const nvidia = (...lines: string[]) =>
    tool('nvidia-smi', `[ "$1" = topo ] && exit 9\ncat <<'END'\n${lines.join('\n')}\nEND`);
  const inventoryOf = (change: Partial<DeviceInventoryOptions> = {}) =>
    new DeviceInventory({
      isDiscovering: true,
      node: {},
      intervalMs: 3_600_000,
      secondLookMs: 0,
      run: toolRunner({ PATH: `${folder.path}:/usr/bin:/bin` }, 2_000),
      machine: async () => machine,
      holdings: () => held,
      onChange: () => {
        changes += 1;
      },
      onLost: ({ node, deviceId, deviceType, reason }) => lost.push(`${node} ${deviceId} ${deviceType}: ${reason}`),
      log: pino({ level: 'warn' }, { write: (line: string) => void warnings.push(JSON.parse(line).reason) }),
      ...change,
    });
  const ids = (inventory: DeviceInventory) => inventory.nodes.flatMap(({ devices }) => devices.map(({ id }) => id));

  it('without tools: a CPU device a core, and nothing to warn of', async () => {
    const inventory = inventoryOf({ node: { name: 'edge-7', rack: 'r1', zone: 'z1', labels: { site: 'shop' } } });
    await inventory.open();
    const cpu = (index: number) => ({ id: `cpu-${index}`, deviceType: 'cpu', memoryBytes: 1_000 });
    expect(inventory.nodes).toEqual([
      { name: 'edge-7', rack: 'r1', zone: 'z1', labels: { site: 'shop' }, devices: [cpu(0), cpu(1)] },
    ]);
    expect([lost, warnings, changes]).toEqual([[], [], 1]);
  });

  it('what is configured takes the place of all that', async () => {
    await nvidia(GPU(0));
    const nodes: Node[] = [{ name: 'a', devices: [] }];
    const inventory = inventoryOf({ configured: nodes });
    await inventory.open();
    inventory.start();
    await inventory.stop();
    expect(inventory.nodes).toBe(nodes);
  });

  it('accelerators of all vendors, with their links', async () => {
    await tool(
      'npu-smi',
      `case "$*" in "info") cat ${fixtures}/npu-smi-info-24.1-910b3.txt;; "info -t topo") cat ${fixtures}/npu-smi-topo-910b3.txt;; *) exit 1;; esac`,
    );
    await tool('cnmon', `[ $# = 0 ] && cat ${fixtures}/cnmon-5.10.txt`);
    const inventory = inventoryOf();
    await inventory.open();
    const [{ devices }] = inventory.nodes as [Node];
    expect(devices).toHaveLength(12);
    expect(devices[2]).toEqual({
      id: 'npu-0',
      deviceType: 'huawei.com/ascend-npu',
      memoryBytes: 65_536 * MIB,
      utilisation: 0,
      linkDomain: 'link-0',
    });
    expect(devices[11]).toEqual({
      id: 'mlu-1',
      deviceType: 'cambricon.com/mlu',
      memoryBytes: 23_374 * MIB,
      utilisation: 0,
    });
  });

  it('one that disappears is lost once, and listed again when it is back', async () => {
    await nvidia(GPU(0), GPU(1));
    const inventory = inventoryOf();
    await inventory.open();
    await nvidia(GPU(1));
    await inventory.lookAgain();
    await inventory.lookAgain();
    expect(ids(inventory)).toEqual(['cpu-0', 'cpu-1', 'gpu-1']);
    expect(lost).toEqual(['host-1 gpu-0 nvidia.com/gpu: device gpu-0 is not there any more']);
    await nvidia(GPU(0), GPU(1));
    await inventory.lookAgain();
    expect(ids(inventory)).toEqual(['cpu-0', 'cpu-1', 'gpu-0', 'gpu-1']);
    await nvidia(GPU(1));
    await inventory.lookAgain();
    expect(lost).toHaveLength(2);
  });

  it('one that is called broken is lost with that reason, and not listed', async () => {
    await nvidia(GPU(0));
    const inventory = inventoryOf();
    await inventory.open();
    await nvidia(GPU(0, '[GPU requires reset]'));
    await inventory.lookAgain();
    expect(lost).toEqual([
      'host-1 gpu-0 nvidia.com/gpu: device gpu-0 has failed: nvidia-smi says of it: [GPU requires reset]',
    ]);
    expect(ids(inventory)).toEqual(['cpu-0', 'cpu-1']);
  });

  it('one that is missing in a single look is not lost', async () => {
    const flag = join(folder.path, 'once');
    await nvidia(GPU(0));
    const inventory = inventoryOf();
    await inventory.open();
    await tool(
      'nvidia-smi',
      `if [ -e ${flag} ]; then echo '${GPU(0)}'; else touch ${flag}; echo 'No devices were found'; fi`,
    );
    await inventory.lookAgain();
    expect([lost, ids(inventory)]).toEqual([[], ['cpu-0', 'cpu-1', 'gpu-0']]);
  });

  it('looks follow each other, and those who ask meanwhile share one', async () => {
    const calls = join(folder.path, 'calls');
    await nvidia(GPU(0));
    const inventory = inventoryOf();
    await inventory.open();
    await tool(
      'nvidia-smi',
      `[ "$1" = topo ] && exit 9\necho begins >> ${calls}\necho '${GPU(0)}'\necho ends >> ${calls}`,
    );
    await Promise.all([1, 2, 3, 4].map(() => inventory.lookAgain()));
    const first = (await readFile(calls, 'utf8')).split('\n').filter(Boolean);
    const under = inventory.lookAgain();
    await eventually(async () =>
      expect((await readFile(calls, 'utf8')).length).toBeGreaterThan(first.join('\n').length + 1),
    );
    await Promise.all([under, inventory.lookAgain(), inventory.lookAgain()]);
    expect(first).toEqual(['begins', 'ends']);
    expect((await readFile(calls, 'utf8')).split('\n').filter(Boolean)).toEqual(
      [1, 2, 3].flatMap(() => ['begins', 'ends']),
    );
  });

  it('one that stops does not wait for its second look, and loses nothing', async () => {
    await nvidia(GPU(0));
    const inventory = inventoryOf({ secondLookMs: 3_600_000 });
    await inventory.open();
    await nvidia();
    const looking = inventory.lookAgain();
    await Promise.all([inventory.stop(), looking]);
    expect([lost, ids(inventory)]).toEqual([[], ['cpu-0', 'cpu-1', 'gpu-0']]);
  });

  it('what was lost while no agent ran is told by what is held', async () => {
    await nvidia(GPU(1));
    held = [{ holder: 'replica r1', devices: [{ node: 'host-1', deviceIds: ['gpu-0', 'cpu-9'] }] }];
    const inventory = inventoryOf();
    await inventory.open();
    await inventory.lookAgain();
    expect(lost).toEqual(['host-1 gpu-0 nvidia.com/gpu: device gpu-0 is not there any more']);
  });

  it.each<[string, string, RegExp]>([
    ['hangs', 'exec sleep 60', /nvidia-smi: did not end in its time/],
    [
      'fails',
      "echo NVIDIA-SMI has failed because it couldn\\'t communicate; exit 9",
      /nvidia-smi: NVIDIA-SMI has failed/,
    ],
    ['prints garbage', 'head -c 2000 /dev/urandom', /nvidia-smi said what is not understood/],
    ['prints without end', 'yes', /nvidia-smi/],
    ['is deleted', 'rm "$0"; exit 3', /nvidia-smi/],
  ])('a tool that %s loses no device, and is said once', async (_case, script, want) => {
    await nvidia(GPU(0));
    const environment = { PATH: `${folder.path}:/usr/bin:/bin` };
    // A busy machine may take its time; only the one that hangs is not waited for.
    let run = toolRunner(environment, 20_000);
    const inventory = inventoryOf({ run: (...asked) => run(...asked) });
    await inventory.open();
    if (_case === 'hangs') run = toolRunner(environment, 300);
    warnings = [];
    await tool('nvidia-smi', script);
    await inventory.lookAgain();
    await inventory.lookAgain();
    expect([lost, ids(inventory)]).toEqual([[], ['cpu-0', 'cpu-1', 'gpu-0']]);
    expect(warnings[0]).toMatch(want);
  });

  it('R4: a tool that its driver does not let go, so that it cannot be killed, keeps nobody waiting', async () => {
    const called: string[] = [];
    const held = (program: string) => {
      called.push(program);
      return new Promise<never>(() => undefined);
    };
    const inventory = inventoryOf({ run: toolRunner({ PATH: folder.path }, 10, held) });
    await inventory.open();
    await inventory.lookAgain();
    expect(ids(inventory)).toEqual(['cpu-0', 'cpu-1']);
    expect(warnings[0]).toContain('nvidia-smi: cannot even be killed');
    expect(called).toEqual(['nvidia-smi', 'npu-smi', 'cnmon']);
  });

  it('accelerators that no tool speaks for are said, not listed', async () => {
    const inventory = inventoryOf({ machine: async () => ({ ...machine, accelerators: new Map([['0x10de', 2]]) }) });
    await inventory.open();
    expect(ids(inventory)).toEqual(['cpu-0', 'cpu-1']);
    expect(warnings).toEqual([
      '2 PCI devices of type nvidia.com/gpu are there, but nvidia-smi is not installed: they are not listed',
    ]);
  });

  it('the system’s own tree: NUMA nodes of cores, accelerators on the bus', async () => {
    const file = async (path: string, text: string) => {
      await mkdir(join(folder.path, path, '..'), { recursive: true });
      await writeFile(join(folder.path, path), text);
    };
    await file('devices/system/node/node0/cpulist', '0-1,4\n');
    await file('devices/system/node/node1/cpulist', '2-3\n');
    await file('bus/pci/devices/0000:3b:00.0/vendor', '0x10de\n');
    await file('bus/pci/devices/0000:3b:00.0/class', '0x030200\n');
    await file('bus/pci/devices/0000:3b:00.1/vendor', '0x10de\n');
    await file('bus/pci/devices/0000:3b:00.1/class', '0x040300\n');
    const read = await readMachine(folder.path);
    expect([[...read.numaOfCore].sort(), [...read.accelerators]]).toEqual([
      [
        [0, 0],
        [1, 0],
        [2, 1],
        [3, 1],
        [4, 0],
      ],
      [['0x10de', 1]],
    ]);
    await rm(join(folder.path, 'devices'), { recursive: true });
    expect((await readMachine(join(folder.path, 'nowhere'))).numaOfCore.size).toBe(0);
  });
});
