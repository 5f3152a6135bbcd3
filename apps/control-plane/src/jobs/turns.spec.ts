import { describe, expect, it } from '@jest/globals';
import { RequestError } from '../errors.ts';
import { SharedTurns, Turns } from './turns.ts';

const LONG = { waitMsMax: 60_000, waitingMax: 1_000 };

describe('turns', () => {
  it('are taken one after the other, in order, whatever becomes of those before', async () => {
    const told: string[] = [];
    const turns = new Turns(LONG);
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
    const turns = new Turns({ ...LONG, waitingMax: 1 });
    const [one, two] = [turns.take(async () => 1), turns.take(async () => 2)];
    await expect(turns.take(async () => 3)).rejects.toThrow(RequestError);
    expect(await Promise.all([one, two])).toEqual([1, 2]);
    expect(await turns.take(async () => 4)).toBe(4);
  });

  it('are refused to who has waited too long, who then takes none', async () => {
    const turns = new Turns({ ...LONG, waitMsMax: 1 });
    const long = Promise.withResolvers<string>();
    const one = turns.take(() => long.promise);
    const begun: string[] = [];
    const two = turns.take(async () => begun.push('two'));
    await expect(two).rejects.toMatchObject({ status: 503, message: expect.stringContaining('within 0.001 s') });
    long.resolve('done');
    expect(await one).toBe('done');
    expect(await turns.take(async () => 'three')).toBe('three');
    expect(begun).toEqual([]);
  });

  it('many wait in them without being refused', async () => {
    const turns = new Turns(LONG);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, at) => turns.take(async () => at)));
    expect(answers).toEqual(Array.from({ length: 200 }, (_, at) => at));
  });
});

describe('shared turns', () => {
  it('answer all who came before the turn at once, and who comes later by the next one', async () => {
    const turns = new Turns(LONG);
    const before = Promise.withResolvers<void>();
    const first = turns.take(() => before.promise);
    const answered: (readonly string[])[] = [];
    const shared = new SharedTurns(turns, async (questions: readonly string[]) => {
      answered.push([...questions]);
      return questions.length;
    });
    const early = [shared.ask('a'), shared.ask('b'), shared.ask('c')];
    before.resolve();
    await first;
    expect(await Promise.all(early)).toEqual([3, 3, 3]);
    expect(await shared.ask('d')).toBe(1);
    expect(answered).toEqual([['a', 'b', 'c'], ['d']]);
  });

  it('that fail, fail for who asked together, and for nobody after them', async () => {
    let fails = true;
    const shared = new SharedTurns(new Turns(LONG), async (questions: readonly string[]) => {
      if (fails) throw new Error('no');
      return questions;
    });
    const together = [shared.ask('a')];
    await expect(Promise.all(together)).rejects.toThrow('no');
    fails = false;
    expect(await shared.ask('b')).toEqual(['b']);
  });

  it('that are refused are asked for anew by who comes next', async () => {
    const turns = new Turns({ ...LONG, waitMsMax: 1 });
    const long = Promise.withResolvers<void>();
    const first = turns.take(() => long.promise);
    const shared = new SharedTurns(turns, async (questions: readonly string[]) => questions);
    await expect(shared.ask('a')).rejects.toThrow(RequestError);
    long.resolve();
    await first;
    expect(await shared.ask('b')).toEqual(['b']);
  });
});
