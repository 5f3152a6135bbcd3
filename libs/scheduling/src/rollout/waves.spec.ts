import { describe, expect, it } from '@jest/globals';
import type { RolloutWave } from '#domain';
import { rollout } from '../fleet.builders.ts';
import { describeWave } from './step.ts';
import { openWave, type WaveCluster } from './waves.ts';

const clusters = (...names: string[]): WaveCluster[] =>
  names.map((name) => ({ id: `id-${name}`, name, labels: {}, holds: true }));
const wave = (which: Partial<RolloutWave>): RolloutWave => ({ soakSeconds: 0, pauseAfter: false, ...which });
const last = wave({ percent: 100 });

describe('which clusters a wave opens', () => {
  const ten = clusters('j', 'i', 'h', 'g', 'f', 'e', 'd', 'c', 'b', 'a');
  const table: {
    name: string;
    waves: RolloutWave[];
    index?: number;
    open?: string[];
    clusters?: WaveCluster[];
    want: string[];
    isOpenToAll?: boolean;
  }[] = [
    { name: 'by name', waves: [wave({ clusterNames: ['c', 'a', 'z'] }), last], want: ['a', 'c'] },
    {
      name: 'by name, also where it does not run yet',
      waves: [wave({ clusterNames: ['a'] }), last],
      clusters: [{ ...clusters('a')[0]!, holds: false }],
      want: ['a'],
    },
    {
      name: 'by labels: every one, with its value',
      waves: [wave({ labels: { ring: 'early', site: 'x' } }), last],
      clusters: [
        { ...clusters('a')[0]!, labels: { ring: 'early' } },
        { ...clusters('b')[0]!, labels: { ring: 'early', site: 'x', more: '1' } },
        { ...clusters('c')[0]!, labels: { ring: 'late', site: 'x' } },
      ],
      want: ['b'],
    },
    { name: 'by percent, in the order of names', waves: [wave({ percent: 30 }), last], want: ['a', 'b', 'c'] },
    { name: 'rounded up', waves: [wave({ percent: 31 }), last], want: ['a', 'b', 'c', 'd'] },
    { name: 'one at least', waves: [wave({ percent: 1 }), last], want: ['a'] },
    {
      name: 'not one too many where floating point errs: 7 % of 100',
      waves: [wave({ percent: 7 }), last],
      clusters: clusters(...Array.from({ length: 100 }, (_, at) => `c${String(at).padStart(2, '0')}`)),
      want: ['c00', 'c01', 'c02', 'c03', 'c04', 'c05', 'c06'],
    },
    {
      name: 'those of earlier waves counted',
      waves: [wave({ clusterNames: ['j'] }), wave({ percent: 30 }), last],
      index: 1,
      open: ['j'],
      want: ['j', 'a', 'b'],
    },
    {
      name: 'nothing more when enough are open',
      waves: [wave({ percent: 50 }), wave({ percent: 20 }), last],
      index: 1,
      open: ['a', 'b', 'c'],
      want: ['a', 'b', 'c'],
    },
    {
      name: 'percent only of clusters that hold it, open ones that do not are no help',
      waves: [wave({ percent: 50 }), last],
      open: ['x'],
      clusters: [...clusters('a', 'b'), { id: 'id-x', name: 'x', labels: {}, holds: false }],
      want: ['x', 'a'],
    },
    { name: 'no cluster holds it', waves: [wave({ percent: 50 }), last], clusters: [], want: [] },
    {
      name: 'the last one is for all, whatever it says',
      waves: [wave({ clusterNames: ['a'] })],
      clusters: clusters('a', 'b'),
      want: ['a', 'b'],
      isOpenToAll: true,
    },
  ];

  it.each(table)('$name', ({ waves, index = 0, open = [], clusters: given = ten, want, isOpenToAll = false }) => {
    const of = rollout('chat', { policy: { waves }, openClusterIds: open.map((name) => `id-${name}`) });
    expect(openWave(of, index, given)).toEqual({ clusterIds: want.map((name) => `id-${name}`), isOpenToAll });
  });

  it('a wave that does not exist is a mistake of the caller', () => {
    expect(() => openWave(rollout('chat'), 1, ten)).toThrow(RangeError);
  });

  it.each([
    [{ clusterNames: ['a', 'b', 'c', 'd'] }, 'a, b, c and 1 more'],
    [{ labels: { ring: 'early' } }, 'ring=early'],
    [{ percent: 25 }, '25 % of the clusters'],
  ])('%j in words', (which, want) => {
    expect(describeWave(wave(which))).toBe(want);
  });
});
