import { describe, expect, it } from '@jest/globals';
import type { Node, ResourceClaim } from '#domain';
import { DeviceLedger } from './device-ledger.ts';
import { claim, node } from './fleet.builders.ts';

const rack = (name: string, devices: number, inRack: string): Node =>
  node(name, devices, 'nvidia.com/gpu', { rack: inRack });
const linked = (name: string, groups: string[]): Node => ({
  name,
  devices: groups.map((linkDomain, index) => ({
    id: `${name}-${index}`,
    deviceType: 'nvidia.com/gpu',
    memoryBytes: 80e9,
    linkDomain,
  })),
});

describe('whether a claim fits', () => {
  const table: { name: string; nodes: Node[]; running?: ResourceClaim[]; claim: ResourceClaim; want: string | null }[] =
    [
      { name: 'T01 two in one node', nodes: [node('a', 2)], claim: claim(2), want: null },
      {
        name: 'T01 one and one is not two in a node',
        nodes: [node('a', 1), node('b', 1)],
        claim: claim(2),
        want: 'too-few',
      },
      {
        name: 'T01 two exist in one node, one is held',
        nodes: [node('a', 2), node('b', 1)],
        running: [claim(1), claim(1)],
        claim: claim(2),
        want: 'busy',
      },
      {
        name: 'T06 another vendor',
        nodes: [node('a', 8)],
        claim: claim(1, 'huawei.com/ascend-npu'),
        want: 'missing-type',
      },
      { name: 'T06 no device at all', nodes: [], claim: claim(1, 'cpu'), want: 'missing-type' },
      {
        name: 'T09 none with the memory',
        nodes: [node('a', 2)],
        claim: { ...claim(1), memoryBytesPerDevice: 96e9 },
        want: 'too-small',
      },
      {
        name: 'T09 exactly the memory',
        nodes: [node('a', 2)],
        claim: { ...claim(2), memoryBytesPerDevice: 80e9 },
        want: null,
      },
      {
        name: 'T02 a rack is enough',
        nodes: [rack('a', 1, 'r1'), rack('b', 1, 'r1')],
        claim: claim(2, 'nvidia.com/gpu', 'rack'),
        want: null,
      },
      {
        name: 'T02 two racks are not one',
        nodes: [rack('a', 1, 'r1'), rack('b', 1, 'r2')],
        claim: claim(2, 'nvidia.com/gpu', 'rack'),
        want: 'too-few',
      },
      {
        name: 'a node without a rack is its own',
        nodes: [node('a', 1), node('b', 1)],
        claim: claim(2, 'nvidia.com/gpu', 'rack'),
        want: 'too-few',
      },
      {
        name: 'the whole cluster',
        nodes: [node('a', 1), node('b', 1)],
        claim: claim(2, 'nvidia.com/gpu', 'cluster'),
        want: null,
      },
      {
        name: 'T05 a linked pair',
        nodes: [linked('a', ['x', 'y', 'y'])],
        claim: claim(2, 'nvidia.com/gpu', 'link'),
        want: null,
      },
      {
        name: 'T05 no two are linked',
        nodes: [linked('a', ['x', 'y'])],
        claim: claim(2, 'nvidia.com/gpu', 'link'),
        want: 'too-few',
      },
      {
        name: 'T05 link domains of two nodes are two',
        nodes: [linked('a', ['x']), linked('b', ['x'])],
        claim: claim(2, 'nvidia.com/gpu', 'link'),
        want: 'too-few',
      },
      {
        name: 'one unlinked device is linked with itself',
        nodes: [node('a', 1)],
        claim: claim(1, 'nvidia.com/gpu', 'link'),
        want: null,
      },
      { name: 'full', nodes: [node('a', 1)], running: [claim(1)], claim: claim(1), want: 'busy' },
    ];
  it.each(table)('$name', ({ nodes, running = [], claim: asked, want }) => {
    const ledger = new DeviceLedger(nodes);
    running.forEach((each, index) => {
      ledger.takeRunning(`r${index}`, each);
    });
    expect(ledger.misfit(asked)).toBe(want);
  });
});

describe('taking and giving back', () => {
  it('T04 takes the smallest node that fits, so that the large one stays whole', () => {
    const ledger = new DeviceLedger([node('large', 4), node('small', 1)]);
    ledger.take('one', claim(1));
    expect(ledger.misfit(claim(4))).toBeNull();
  });

  it('takes the least memory that is enough', () => {
    const devices = [
      { id: 'big', deviceType: 'nvidia.com/gpu', memoryBytes: 80e9 } as const,
      { id: 'small', deviceType: 'nvidia.com/gpu', memoryBytes: 24e9 } as const,
    ];
    const ledger = new DeviceLedger([{ name: 'a', devices }]);
    ledger.take('one', claim(1));
    expect(ledger.misfit({ ...claim(1), memoryBytesPerDevice: 80e9 })).toBeNull();
  });

  it('takes nothing when it does not fit', () => {
    const ledger = new DeviceLedger([node('a', 2)]);
    expect([ledger.take('big', claim(3)), ledger.freeShare('nvidia.com/gpu')]).toEqual([false, 1]);
  });

  it('counts what runs on a machine that lost a device', () => {
    const ledger = new DeviceLedger([node('a', 1)]);
    ledger.takeRunning('runs', claim(2));
    expect(ledger.misfit(claim(1))).toBe('busy');
  });

  it('answers what would fit without a holder and changes nothing', () => {
    const ledger = new DeviceLedger([node('a', 2)]);
    ledger.take('old', claim(2));
    expect([ledger.fitsWithout('old', claim(2)), ledger.misfit(claim(1))]).toEqual([true, 'busy']);
  });

  it('gives everything back', () => {
    const ledger = new DeviceLedger([node('a', 2)]);
    ledger.take('old', claim(2));
    ledger.release('old');
    expect(ledger.freeShare('nvidia.com/gpu')).toBe(1);
  });

  it('has no free share of what it has not', () => {
    expect(new DeviceLedger([]).freeShare('cpu')).toBe(0);
  });
});

describe('devices that are bound', () => {
  const at = (name: string, ...devices: number[]) => ({
    node: name,
    deviceIds: devices.map((each) => `${name}-${each}`),
  });

  it('says which devices were taken, by node', () => {
    const ledger = new DeviceLedger([rack('a', 1, 'r1'), rack('b', 1, 'r1')]);
    expect(ledger.bind('one', claim(2, 'nvidia.com/gpu', 'rack'))).toEqual([at('a', 0), at('b', 0)]);
  });

  it('binds nothing when the claim does not fit', () => {
    const ledger = new DeviceLedger([node('a', 2)]);
    expect([ledger.bind('one', claim(3)), ledger.freeShare('nvidia.com/gpu')]).toEqual([null, 1]);
  });

  const table: { name: string; held?: number[]; asked: ReturnType<typeof at>[]; want: boolean; wantFree: number }[] = [
    { name: 'all free', asked: [at('a', 0, 2)], want: true, wantFree: 2 },
    {
      name: 'one of them is held: it stays with its first holder',
      held: [2],
      asked: [at('a', 0, 2)],
      want: false,
      wantFree: 2,
    },
    { name: 'one of them vanished', asked: [at('a', 0, 9)], want: false, wantFree: 3 },
    { name: 'its node vanished', asked: [at('gone', 0)], want: false, wantFree: 4 },
    { name: 'one is named twice', asked: [at('a', 0, 0)], want: false, wantFree: 3 },
  ];
  it.each(table)('takes named devices: $name', ({ held = [], asked, want, wantFree }) => {
    const ledger = new DeviceLedger([node('a', 4)]);
    ledger.takeBound('first', [at('a', ...held)]);
    expect([ledger.takeBound('second', asked), ledger.freeShare('nvidia.com/gpu') * 4]).toEqual([want, wantFree]);
  });

  it('what runs keeps the devices it was bound to', () => {
    const ledger = new DeviceLedger([node('a', 4)]);
    ledger.takeRunning('runs', claim(2), [at('a', 2, 3)]);
    expect(ledger.bind('next', claim(2))).toEqual([at('a', 0, 1)]);
  });

  it('what was bound comes back with its holder', () => {
    const ledger = new DeviceLedger([node('a', 2)]);
    ledger.takeBound('runs', [at('a', 0, 1)]);
    ledger.release('runs');
    expect(ledger.misfit(claim(2))).toBeNull();
  });

  it('a rack name in two zones is two racks', () => {
    const inZone = (name: string, zone: string): Node => ({ ...rack(name, 1, 'r1'), zone });
    const ledger = new DeviceLedger([inZone('a', 'z1'), inZone('b', 'z2')]);
    expect(ledger.misfit(claim(2, 'nvidia.com/gpu', 'rack'))).toBe('too-few');
  });
});
