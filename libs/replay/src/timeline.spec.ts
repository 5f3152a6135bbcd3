import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Timeline } from './timeline.ts';

describe('the timeline', () => {
  it('gives what is due by time, and at one time in the order in which it was added', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }), (times) => {
        const timeline = new Timeline<number>();
        for (const [index, atMs] of times.entries()) timeline.add(atMs, index);
        const taken: number[] = [];
        for (let due = timeline.takeUntil(9); due !== null; due = timeline.takeUntil(9)) taken.push(due.happening);
        const want = times.map((_, index) => index).sort((left, right) => times[left]! - times[right]! || left - right);
        expect(taken).toEqual(want);
        expect(timeline.nextMs).toBeNull();
      }),
    );
  });

  it('gives nothing that is not due', () => {
    const timeline = new Timeline<string>();
    timeline.add(5, 'later');
    expect([timeline.nextMs, timeline.takeUntil(4)?.happening, timeline.takeUntil(5)?.happening]).toEqual([
      5,
      undefined,
      'later',
    ]);
  });
});
