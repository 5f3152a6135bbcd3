import { describe, expect, it } from '@jest/globals';
import { ReplayInputError } from './errors.ts';
import { clusterOf, describeFleet, devicesOf, parseFleet } from './fleet.ts';

describe('a fleet', () => {
  it.each([
    ['30x8', { racks: 1, nodesPerRack: 30, devicesPerNode: 8 }, 240],
    ['5x6x8', { racks: 5, nodesPerRack: 6, devicesPerNode: 8 }, 240],
    ['1x1', { racks: 1, nodesPerRack: 1, devicesPerNode: 1 }, 1],
  ])('written %s', (text, want, wantDevices) => {
    expect(parseFleet(text)).toEqual(want);
    expect(devicesOf(parseFleet(text))).toBe(wantDevices);
  });

  it.each(['', '30', '30x', '0x8', '8x8x8x8', '-1x8', '1.5x8', '1000000x8', 'x8'])('is not written %j', (text) => {
    expect(() => parseFleet(text)).toThrow(ReplayInputError);
  });

  it('has its nodes in racks, with devices of their own', () => {
    const { nodes } = clusterOf(parseFleet('2x2x1'));
    expect(nodes.map(({ name, rack, devices }) => [name, rack, devices.map(({ id }) => id)])).toEqual([
      ['n1', 'r1', ['n1-0']],
      ['n2', 'r1', ['n2-0']],
      ['n3', 'r2', ['n3-0']],
      ['n4', 'r2', ['n4-0']],
    ]);
    expect(describeFleet(parseFleet('2x2x1'))).toBe('4 devices: 2 racks × 2 nodes × 1');
  });
});
