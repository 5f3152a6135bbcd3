import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { z } from 'zod';
import type { OfflineBundle } from '#domain';
import { bundleOf, CLUSTER_ID, memoryDocument, Signer, TurnedClock } from '../../test/offline.builders.ts';
import { BundleKeeper, type bundleMarksSchema, type storedBundleSchema } from './bundle-keeper.ts';
import { bundleRefusal } from './refusals.ts';

const HOUR = 3_600_000;
const signer = new Signer();

/** A cluster with a disk, and a centre that answers with what `offered` says; null: it does not answer. */
class World {
  readonly clock = new TurnedClock();
  readonly document = memoryDocument<z.output<typeof storedBundleSchema>>();
  readonly marks = memoryDocument<z.output<typeof bundleMarksSchema>>();
  readonly asked: (string | null)[] = [];
  offered: unknown = null;
  verifyingKey: string | undefined = signer.verifyingKey;
  doubts = 0;
  keeper = this.#make();

  offer(bundle: OfflineBundle, by = signer): { text: string; signature: string } {
    const signed = by.sign(bundle);
    this.offered = { answer: 'bundle', ...signed };
    return signed;
  }

  async restart(afterMs = 0, hasMarks = true): Promise<void> {
    await this.keeper.stop();
    if (!hasMarks) this.marks.stored.value = null;
    this.clock.restartAfter(afterMs);
    this.keeper = this.#make();
    await this.keeper.open();
  }

  get words(): string | undefined {
    return bundleRefusal(this.keeper.state(), this.keeper.contactMs)?.body.error.message;
  }

  #make(): BundleKeeper {
    return new BundleKeeper({
      clusterId: CLUSTER_ID,
      document: this.document,
      marks: this.marks,
      request: (have) => {
        this.asked.push(have);
        return this.offered === null ? Promise.reject(new Error('nobody answers')) : Promise.resolve(this.offered);
      },
      verifyingKey: () => this.verifyingKey,
      onDoubt: () => {
        this.doubts += 1;
      },
      clock: this.clock,
      log: pino({ level: 'silent' }),
    });
  }
}

async function holding(bundle: OfflineBundle = bundleOf()): Promise<World> {
  const world = new World();
  world.offer(bundle);
  await world.keeper.fetch();
  world.offered = null;
  return world;
}

describe('R4: the offline bundle', () => {
  it('is used once it came, asked for by its digest, and there after a restart', async () => {
    const world = await holding();
    expect(world.keeper.state().state).toBe('valid');
    await world.restart(HOUR);
    expect(world.keeper.state().state).toBe('valid');
    expect(world.keeper.view?.bundle).toEqual(bundleOf());
    await world.keeper.fetch();
    const digest = createHash('sha256').update(JSON.stringify(bundleOf())).digest('hex');
    expect(world.asked).toEqual([null, digest]);
  });

  it('serves for its time without the centre, across restarts, and then says since when the centre was not seen', async () => {
    const world = await holding(bundleOf({ validForSeconds: 30 * 3_600 }));
    for (let hour = 0; hour < 30; hour += 1) {
      expect([hour, world.keeper.state().state]).toEqual([hour, 'valid']);
      if (hour % 7 === 3) await world.restart(HOUR);
      else world.clock.advance(HOUR);
    }
    world.clock.advance(2.5 * HOUR);
    expect(world.words).toBe(
      "This cluster's offline permission ended 2 h ago; the centre was last seen 2026-11-30T00:00:00Z.",
    );
  });

  it('R22: a wall clock that goes back at each restart does not extend it without bound', async () => {
    const world = await holding(bundleOf({ validForSeconds: 10 * 3_600 }));
    let hours = 0;
    for (; hours < 24 && world.keeper.state().state === 'valid'; hours += 1) {
      world.clock.advance(HOUR);
      await world.restart(-HOUR);
    }
    expect(hours).toBe(10);
  });

  it.each([
    ['ahead of', '2026-11-15T00:00:00.000Z'],
    ['behind', '2026-12-15T00:00:00.000Z'],
  ])(
    'R22: what the centre gives counts as new, also with a clock that is two weeks %s its own',
    async (_name, issuedAt) => {
      const world = await holding(bundleOf({ issuedAt, validForSeconds: 10 * 3_600 }));
      world.clock.advance(9 * HOUR);
      expect(world.keeper.state().state).toBe('valid');
      world.clock.advance(HOUR);
      expect(world.keeper.state().state).toBe('expired');
      world.offered = { answer: 'unchanged' };
      await world.keeper.fetch();
      expect(world.keeper.state().state).toBe('valid');
    },
  );

  it('R22: a clock that was wrong at the start and is put right lets it be used', async () => {
    const world = await holding();
    await world.restart(-24 * HOUR, false);
    expect(world.words).toContain('its clock is wrong');
    world.clock.wall += 24 * HOUR;
    expect(world.keeper.state().state).toBe('valid');
  });

  it.each<[string, (world: World) => void]>([
    ['signed by somebody else', (world) => world.offer(bundleOf({ sequence: 6 }), new Signer())],
    ['of another cluster', (world) => world.offer(bundleOf({ sequence: 6, clusterId: CLUSTER_ID.replace('1', '2') }))],
    ['of a lower sequence', (world) => world.offer(bundleOf({ sequence: 4 }))],
    [
      'changed after it was signed',
      (world) => {
        const { text, signature } = world.offer(bundleOf({ sequence: 6 }));
        world.offered = { answer: 'bundle', text: text.replace('"sequence":6', '"sequence":7'), signature };
      },
    ],
    [
      'not of the contract',
      (world) => {
        world.offered = { answer: 'bundle', text: '{}', signature: signer.signText('{}') };
      },
    ],
    [
      'a refusal',
      (world) => {
        world.offered = { answer: 'something else' };
      },
    ],
  ])('one that is %s changes nothing', async (_name, offer) => {
    const world = await holding();
    offer(world);
    await world.keeper.fetch();
    expect(world.keeper.view?.bundle).toEqual(bundleOf());
    expect(world.document.stored.value).toEqual(signer.sign(bundleOf()));
  });

  it('a signature that is not proven makes the key be fetched', async () => {
    const world = await holding();
    const renewed = new Signer();
    world.offer(bundleOf({ sequence: 6 }), renewed);
    await world.keeper.fetch();
    expect(world.doubts).toBe(1);
    world.verifyingKey = renewed.verifyingKey;
    await world.keeper.fetch();
    expect(world.keeper.view?.bundle.sequence).toBe(6);
  });

  it('a stored one that the key does not prove is not used, until the centre sends another', async () => {
    const world = await holding();
    world.document.stored.value = new Signer().sign(bundleOf({ sequence: 9 }));
    await world.restart();
    expect(world.words).toMatch(/not proven by the centre's key; the centre was last seen 2026/);
    world.offer(bundleOf());
    await world.keeper.fetch();
    expect(world.keeper.state().state).toBe('valid');
  });

  it('R22: keys do not live longer because the wall clock goes back', async () => {
    const world = await holding();
    world.clock.advance(5 * HOUR);
    const seenMs = world.keeper.nowMs();
    await world.restart(-5 * HOUR);
    expect(world.keeper.nowMs()).toBeGreaterThanOrEqual(seenMs);
    world.clock.wall = 0;
    world.clock.advance(HOUR);
    expect(world.keeper.nowMs()).toBe(seenMs + HOUR);
  });

  it('a full disk does not take it away', async () => {
    const world = new World();
    world.document.stored.isFull = true;
    world.marks.stored.isFull = true;
    world.offer(bundleOf());
    await world.keeper.fetch();
    expect(world.keeper.state().state).toBe('valid');
  });

  it('says that there is none before the first', async () => {
    const world = new World();
    await world.keeper.open();
    expect(world.words).toBe('This cluster has no offline permission yet; the centre has not been seen yet.');
    expect(await world.keeper.confirm()).toBe(false);
  });

  it('whether it is the newest is asked once a second, however many want to know', async () => {
    const world = await holding();
    world.clock.advance(5_000);
    world.offered = { answer: 'unchanged' };
    expect(await Promise.all([world.keeper.confirm(), world.keeper.confirm()])).toEqual([true, true]);
    expect(await world.keeper.confirm()).toBe(true);
    expect(world.asked).toHaveLength(2);
    world.clock.advance(2_000);
    world.offered = null;
    expect(await world.keeper.confirm()).toBe(false);
  });

  it('R8: contact has an age', async () => {
    const world = await holding();
    expect(world.keeper.isInContact).toBe(true);
    world.clock.advance(90_000);
    expect(world.keeper.isInContact).toBe(false);
    world.keeper.contacted();
    expect(world.keeper.isInContact).toBe(true);
  });
});
