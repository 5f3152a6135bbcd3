import { describe, expect, it } from '@jest/globals';
import { Slots } from './slots.ts';

const never = new AbortController().signal;

describe('Slots', () => {
  it('runs so many, queues so many in order, refuses the rest', async () => {
    const slots = new Slots(1, 2);
    const first = await slots.acquire(never);
    const order: string[] = [];
    const waiter = async (name: string) => {
      const slot = await slots.acquire(never);
      order.push(name);
      return slot;
    };
    const second = waiter('second');
    const third = waiter('third');
    expect((await slots.acquire(never)).kind).toBe('overloaded');
    expect([slots.running, slots.queued]).toEqual([1, 2]);
    if (first.kind === 'slot') first.release();
    const next = await second;
    if (next.kind === 'slot') {
      next.release();
      next.release();
    }
    await third;
    expect(order).toEqual(['second', 'third']);
    expect([slots.running, slots.queued]).toEqual([1, 0]);
  });

  it('lets a waiter go, whose place the next one takes', async () => {
    const slots = new Slots(1, 1);
    await slots.acquire(never);
    const abort = new AbortController();
    const waiting = slots.acquire(abort.signal);
    abort.abort();
    expect((await waiting).kind).toBe('aborted');
    expect(slots.queued).toBe(0);
  });
});
