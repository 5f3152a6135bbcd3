import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type DeferrableWork, makeRoom, type RoomMade } from './deferrable.ts';

const work = (id: string, devices: number, lostDeviceSeconds = 0): DeferrableWork => ({
  id,
  devices,
  lostDeviceSeconds,
});

describe('E05 deferrable work yields first to a surge', () => {
  const table: { name: string; devices: number; free: number; deferrable: DeferrableWork[]; want: RoomMade }[] = [
    {
      name: 'what is free is taken before anything yields',
      devices: 3,
      free: 4,
      deferrable: [work('a', 1)],
      want: { fromFree: 3, yields: [], missing: 0 },
    },
    {
      name: 'then the least loss for a device',
      devices: 3,
      free: 1,
      deferrable: [work('a', 2, 600), work('b', 2, 100), work('c', 1, 90)],
      want: { fromFree: 1, yields: ['b'], missing: 0 },
    },
    {
      name: 'no more than needed: the first is given back when the second is enough',
      devices: 4,
      free: 0,
      deferrable: [work('small', 2, 10), work('large', 4, 100)],
      want: { fromFree: 0, yields: ['large'], missing: 0 },
    },
    {
      name: 'as much as there is',
      devices: 9,
      free: 2,
      deferrable: [work('a', 3), work('b', 1, 5)],
      want: { fromFree: 2, yields: ['a', 'b'], missing: 3 },
    },
    {
      name: 'nothing is needed',
      devices: 0,
      free: 0,
      deferrable: [work('a', 3)],
      want: { fromFree: 0, yields: [], missing: 0 },
    },
  ];
  it.each(table)('$name', ({ devices, free, deferrable, want }) => {
    expect(makeRoom(devices, free, deferrable)).toEqual(want);
  });

  it('never more than needed: none of what yields could be spared; and nothing is missing while something could yield', () => {
    const worksArbitrary = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.nat(1_000)), { maxLength: 8 })
      .map((given) => given.map(([devices, lost], at) => work(`w${at}`, devices, lost)));
    fc.assert(
      fc.property(fc.nat(30), fc.nat(8), worksArbitrary, (devices, free, deferrable) => {
        const { fromFree, yields, missing } = makeRoom(devices, free, deferrable);
        const given = deferrable.filter(({ id }) => yields.includes(id)).map((each) => each.devices);
        const gained = given.reduce((sum, count) => sum + count, 0);
        const spare = given.filter((count) => fromFree + gained - count >= devices);
        expect({ spare, missing }).toEqual({ spare: [], missing: Math.max(0, devices - fromFree - gained) });
        if (missing > 0) expect(yields.length).toBe(deferrable.length);
      }),
    );
  });
});
