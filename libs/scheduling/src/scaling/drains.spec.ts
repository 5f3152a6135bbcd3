import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type DrainableReplica, type DrainStep, drainStep } from './drains.ts';

const replica = (id: string, rest: Partial<DrainableReplica> = {}): DrainableReplica => ({
  id,
  state: 'serving',
  inFlight: 0,
  startedAtMs: 0,
  ...rest,
});
const nothing: DrainStep = { drain: [], remove: [], keep: [], start: 0 };

describe('one step towards fewer replicas, or more', () => {
  const table: { name: string; replicas: DrainableReplica[]; wanted: number; want: Partial<DrainStep> }[] = [
    { name: 'as many as wanted', replicas: [replica('a'), replica('b')], wanted: 2, want: {} },
    { name: 'too few', replicas: [replica('a')], wanted: 3, want: { start: 2 } },
    {
      name: 'E03 one too many is drained first, though it is idle',
      replicas: [replica('a', { inFlight: 1 }), replica('b')],
      wanted: 1,
      want: { drain: ['b'] },
    },
    {
      name: 'E03 and goes when it has nothing left',
      replicas: [replica('a'), replica('b', { state: 'draining' })],
      wanted: 1,
      want: { remove: ['b'] },
    },
    {
      name: 'E03 not before',
      replicas: [replica('a'), replica('b', { state: 'draining', inFlight: 1 })],
      wanted: 1,
      want: {},
    },
    {
      name: 'E03 E07 not while that is not known',
      replicas: [replica('a'), replica('b', { state: 'draining', inFlight: null })],
      wanted: 1,
      want: {},
    },
    {
      name: 'E03 to zero drains all and removes none',
      replicas: [replica('a', { inFlight: 2 }), replica('b', { inFlight: 1 })],
      wanted: 0,
      want: { drain: ['b', 'a'] },
    },
    {
      name: 'what starts goes first, then the fewest in flight, then the newest, then the unknown',
      replicas: [
        replica('unknown', { inFlight: null }),
        replica('busy', { inFlight: 3 }),
        replica('old', { inFlight: 1, startedAtMs: 1 }),
        replica('new', { inFlight: 1, startedAtMs: 2 }),
        replica('starts', { state: 'starting', inFlight: null }),
      ],
      wanted: 0,
      want: { drain: ['starts', 'new', 'old', 'busy', 'unknown'] },
    },
    {
      name: 'one that drains is kept before one is started, the busiest first',
      replicas: [
        replica('a'),
        replica('b', { state: 'draining', inFlight: 1 }),
        replica('c', { state: 'draining', inFlight: 5 }),
        replica('d', { state: 'draining' }),
      ],
      wanted: 2,
      want: { keep: ['c'], remove: ['d'] },
    },
    {
      name: 'then the rest is started',
      replicas: [replica('a'), replica('b', { state: 'draining' })],
      wanted: 4,
      want: { keep: ['b'], start: 2 },
    },
  ];
  it.each(table)('$name', ({ replicas, wanted, want }) => {
    expect(drainStep(replicas, wanted)).toEqual({ ...nothing, ...want });
  });
});

describe('E03 a deployment that shrinks and grows under load', () => {
  it('drops no request, and comes to what is wanted', () => {
    const wishes = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(wishes, fc.infiniteStream(fc.nat(6)), (wanted, random) => {
        let replicas = [replica('r0'), replica('r1'), replica('r2')];
        let started = 3;
        const steps = [...wanted, ...Array<number>(150).fill(wanted.at(-1)!)];
        steps.forEach((want, at) => {
          const step = drainStep(replicas, want);
          const dropped = replicas.filter(({ id, inFlight }) => step.remove.includes(id) && inFlight !== 0);
          expect(dropped).toEqual([]);
          replicas = replicas
            .filter(({ id }) => !step.remove.includes(id))
            .map((each) => carriedOut(each, step, at < wanted.length ? random.next().value! : 0));
          for (let count = 0; count < step.start; count += 1)
            replicas.push(replica(`r${started++}`, { startedAtMs: at }));
        });
        expect(replicas.map(({ state }) => state)).toEqual(Array(wanted.at(-1)!).fill('serving'));
      }),
    );
  });

  /** Only what serves gets requests; all finish some. */
  function carriedOut(each: DrainableReplica, { drain, keep }: DrainStep, arrives: number): DrainableReplica {
    const state = drain.includes(each.id) ? 'draining' : keep.includes(each.id) ? 'serving' : each.state;
    const inFlight = Math.max(0, each.inFlight! - 1) + (state === 'serving' ? arrives : 0);
    return { ...each, state, inFlight };
  }
});
