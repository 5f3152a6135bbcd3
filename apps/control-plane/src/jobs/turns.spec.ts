import { describe, expect, it } from '@jest/globals';
import { RequestError } from '../errors.ts';
import { Turns } from './turns.ts';

describe('turns', () => {
  it('are taken one after the other, in order, whatever becomes of those before', async () => {
    const told: string[] = [];
    const turns = new Turns(2);
    const take = (name: string, fails = false) =>
      turns.take(async () => {
        told.push(`${name} begins`);
        await Promise.resolve();
        told.push(`${name} ends`);
        if (fails) throw new Error(name);
        return name;
      });
    expect(await Promise.allSettled([take('one'), take('two', true), take('three')])).toEqual([
      { status: 'fulfilled', value: 'one' },
      { status: 'rejected', reason: new Error('two') },
      { status: 'fulfilled', value: 'three' },
    ]);
    expect(told).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
  });

  it('are refused while enough are waiting, and there again afterwards', async () => {
    const turns = new Turns(1);
    const [one, two] = [turns.take(async () => 1), turns.take(async () => 2)];
    await expect(turns.take(async () => 3)).rejects.toThrow(RequestError);
    expect(await Promise.all([one, two])).toEqual([1, 2]);
    expect(await turns.take(async () => 4)).toBe(4);
  });
});
