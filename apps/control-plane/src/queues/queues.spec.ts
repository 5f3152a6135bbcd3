// What a queue's end is refused with, and what of a change is news.
import { describe, expect, it } from '@jest/globals';
import { queueOf } from '#testing';
import { changesIn } from './changes-in.ts';
import { wordsOf } from './what-names-queue.ts';

const named = (...names: string[]) => names.map((name) => ({ name }));
const ended = (...names: string[]) =>
  names.map((name, index) => ({ name, endedAt: new Date(Date.UTC(2030, 0, 1 + index)), spec: { ttlSeconds: 86_400 } }));
const NOTHING = { below: [], active: [], ended: [], deployments: [] };

describe('what names a queue', () => {
  it.each([
    { name: 'nothing', given: {}, want: null },
    { name: 'a queue', given: { below: named('a') }, want: 'queues below it (a)' },
    {
      name: 'an ended job, until its time to live is over',
      given: { ended: ended('a', 'b') },
      want: 'ended jobs (a, b), kept until 2030-01-03T00:00:00Z unless they are removed',
    },
    {
      name: 'all kinds',
      given: { below: named('a'), deployments: named('b', 'c'), active: named('d') },
      want: 'queues below it (a); deployments (b, c); jobs that have not ended (d)',
    },
    {
      name: 'more than are named',
      given: { active: named(...'abcdef'), ended: ended(...'abcdef') },
      want:
        'jobs that have not ended (a, b, c, d, e and others); ' +
        'ended jobs (a, b, c, d, e and others), kept until 2030-01-07T00:00:00Z or longer unless they are removed',
    },
  ])('$name', ({ given, want }) => {
    const words = wordsOf({ name: 'q' }, { ...NOTHING, ...given });
    expect(words).toBe(want === null ? null : `the queue q is still named by ${want}`);
  });
});

describe('what of a change is news', () => {
  const queue = queueOf({ weight: 2, quota: { cpu: 1, 'nvidia.com/gpu': 2 }, borrowingLimit: null, paused: false });
  it.each([
    { name: 'nothing', change: {}, want: {} },
    { name: 'the same again', change: { weight: 2, borrowingLimit: null, paused: false }, want: {} },
    { name: 'the same in another order', change: { quota: { 'nvidia.com/gpu': 2, cpu: 1 } }, want: {} },
    { name: 'what is new only', change: { weight: 2, paused: true }, want: { paused: true } },
    { name: 'a type that is not named any more', change: { quota: { cpu: 1 } }, want: { quota: { cpu: 1 } } },
    { name: 'a limit that goes', change: { borrowingLimit: { cpu: 0 } }, want: { borrowingLimit: { cpu: 0 } } },
  ])('$name', ({ change, want }) => {
    expect(changesIn(queue, change)).toEqual(want);
  });
});
