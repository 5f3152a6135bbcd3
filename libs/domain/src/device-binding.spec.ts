import { describe, expect, it } from '@jest/globals';
import { bindDevices } from './device-binding.ts';
import type { Device, DeviceType, Node, ResourceClaim, TopologyScope } from './devices.ts';

const GPU = 'nvidia.com/gpu';
const devices = (count: number, rest: Partial<Device> & { linkDomain?: string } = {}, from = 0): Device[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `gpu-${from + index}`,
    deviceType: GPU,
    memoryBytes: 80,
    ...rest,
  }));
const node = (name: string, ...parts: Device[][]): Node => ({ name, devices: parts.flat() });
const claim = (
  count: number,
  topologyScope: TopologyScope = 'node',
  rest: Partial<ResourceClaim> = {},
): ResourceClaim => ({
  deviceType: GPU as DeviceType,
  count,
  schedulingPolicy: { topologyScope },
  ...rest,
});
const pairs = node('b', devices(2, { linkDomain: 'x' }), devices(2, { linkDomain: 'y' }, 2));

describe('bindDevices', () => {
  it.each<[string, Node[], ResourceClaim, string[], Record<string, string[]> | null]>([
    ['the first that is free', [node('a', devices(2))], claim(1), ['a/gpu-0'], { a: ['gpu-1'] }],
    ['none is free', [node('a', devices(1))], claim(1), ['a/gpu-0'], null],
    ['T01 one node or none', [node('a', devices(1)), node('b', devices(1))], claim(2), [], null],
    [
      'a wider scope may span nodes',
      [node('a', devices(1)), node('b', devices(1))],
      claim(2, 'cluster'),
      [],
      { a: ['gpu-0'], b: ['gpu-0'] },
    ],
    [
      'T04 the smallest place that fits',
      [node('a', devices(4)), node('b', devices(2))],
      claim(2),
      [],
      { b: ['gpu-0', 'gpu-1'] },
    ],
    [
      'T05 linked ones are preferred',
      [node('a', devices(1, { linkDomain: 'z' }), devices(2, { linkDomain: 'x' }, 1))],
      claim(2),
      [],
      { a: ['gpu-1', 'gpu-2'] },
    ],
    ['T05 scope link: within one group', [pairs], claim(2, 'link'), ['b/gpu-1'], { b: ['gpu-2', 'gpu-3'] }],
    ['T05 scope link: never across groups', [pairs], claim(3, 'link'), [], null],
    ['scope link: what has no links is no place', [node('a', devices(2))], claim(2, 'link'), [], null],
    ['T06 another type is none', [node('a', devices(2, { deviceType: 'cambricon.com/mlu' }))], claim(1), [], null],
    [
      'T09 too little memory is none',
      [node('a', devices(1, { memoryBytes: 40 }), devices(1, {}, 1))],
      claim(1, 'node', { memoryBytesPerDevice: 80 }),
      [],
      { a: ['gpu-1'] },
    ],
    ['ids are of their node', [node('a', devices(1)), node('b', devices(1))], claim(1), ['a/gpu-0'], { b: ['gpu-0'] }],
    ['no devices at all', [], claim(1), [], null],
  ])('%s', (_case, nodes, wanted, taken, want) => {
    const bound = bindDevices(nodes, wanted, new Set(taken));
    const byNode = bound && Object.fromEntries(bound.map((each) => [each.node, [...each.deviceIds]]));
    expect(byNode).toEqual(want);
  });
});
