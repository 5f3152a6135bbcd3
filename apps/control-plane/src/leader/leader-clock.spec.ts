import { describe, expect, it } from '@jest/globals';
import type { Rows, Store } from '#domain';
import { AHEAD_MS_MIN, FOLLOWED_SECONDS, LeaderClock } from './leader-clock.ts';

const START_MS = Date.UTC(2026, 0, 1);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const EPOCH = 7;

/** One true time, a database and leaders whose clocks are what a case makes of them. */
class ClockWorld {
  trueMs = 0;
  epoch = EPOCH;
  aheadMs = 0;
  writes = 0;
  /** Of the database's wall clock, against the true time. */
  databaseSkewMs = 0;
  /** What an answer takes, there and back. */
  answerMs: { readonly there: number; readonly back: number } = { there: 0, back: 0 };
  isAway = false;

  readonly store = {
    read: { clock: { read: () => this.read() } } as unknown as Rows,
    transaction: (work: (rows: Rows) => Promise<void>) =>
      work({ clock: { keepAhead: (epoch: number, aheadMs: number) => this.keep(epoch, aheadMs) } } as unknown as Rows),
  } as Pick<Store, 'read' | 'transaction'> as Store;

  lead(epoch = EPOCH, pace = 1): Promise<LeaderClock> {
    return LeaderClock.begin(this.store, epoch, { nowMs: () => 5_000 + this.trueMs * pace });
  }

  /** How far a leader is from the true time. */
  offBy(clock: LeaderClock): number {
    return clock.nowMs() - (START_MS + this.trueMs);
  }

  async pass(ms: number, clock: LeaderClock): Promise<void> {
    const untilMs = this.trueMs + ms;
    while (this.trueMs < untilMs) {
      this.trueMs = Math.min(untilMs, this.trueMs + MINUTE);
      await clock.follow().catch(() => undefined);
    }
  }

  private async read() {
    if (this.isAway) throw new Error('Postgres is away');
    this.trueMs += this.answerMs.there;
    const reading = {
      at: new Date(START_MS + this.trueMs + this.databaseSkewMs + this.aheadMs),
      aheadMs: this.aheadMs,
    };
    this.trueMs += this.answerMs.back;
    return reading;
  }

  private async keep(epoch: number, aheadMs: number): Promise<void> {
    this.writes += 1;
    if (epoch === this.epoch) this.aheadMs = aheadMs;
  }
}

describe('R22: what time it is for a leader', () => {
  it('is what the database says when the term begins, and goes on from there', async () => {
    const world = new ClockWorld();
    const clock = await world.lead();
    world.trueMs += HOUR;
    expect([clock.nowMs(), clock.now()]).toEqual([START_MS + HOUR, new Date(START_MS + HOUR)]);
  });

  it('is the same for one that begins later', async () => {
    const world = new ClockWorld();
    const first = await world.lead();
    await world.pass(HOUR, first);
    const second = await world.lead(EPOCH + 1);
    expect(second.nowMs()).toBe(first.nowMs());
  });

  it('is known but for half of what the first answer took', async () => {
    const world = new ClockWorld();
    world.answerMs = { there: 40, back: 200 };
    expect(world.offBy(await world.lead())).toBe(-80);
  });

  it('without a database there is no term', async () => {
    const world = new ClockWorld();
    world.isAway = true;
    await expect(world.lead()).rejects.toThrow('Postgres is away');
  });

  it.each<{ name: string; skewMs: number; wantAfterMs: Record<string, number> }>([
    { name: 'ahead by ten minutes', skewMs: 10 * MINUTE, wantAfterMs: { at: 0, hour: 3_600, week: 10 * MINUTE } },
    { name: 'back by ten minutes', skewMs: -10 * MINUTE, wantAfterMs: { at: 0, hour: -3_600, week: -10 * MINUTE } },
    { name: 'ahead by two seconds', skewMs: 2_000, wantAfterMs: { at: 0, hour: 2_000, week: 2_000 } },
  ])('a database clock that jumps $name moves nothing at once, and is followed', async ({ skewMs, wantAfterMs }) => {
    const world = new ClockWorld();
    const clock = await world.lead();
    await world.pass(MINUTE, clock);
    world.databaseSkewMs = skewMs;
    const jumps = [await clock.follow(), await clock.follow()];
    const at = world.offBy(clock);
    await world.pass(HOUR, clock);
    const hour = world.offBy(clock);
    await world.pass(7 * DAY, clock);
    expect({ at, hour, week: world.offBy(clock), jumps }).toEqual({ ...wantAfterMs, jumps: [skewMs, 0] });
  });

  it.each([0.999_5, 1.000_5])('a monotonic clock at a pace of %d stays with the database for months', async (pace) => {
    const world = new ClockWorld();
    const clock = await world.lead(EPOCH, pace);
    await world.pass(60 * DAY, clock);
    expect(Math.abs(world.offBy(clock))).toBeLessThan(100);
  });

  it('counts on while the database is away, and is where it was when that comes back', async () => {
    const world = new ClockWorld();
    const clock = await world.lead();
    world.isAway = true;
    await world.pass(DAY, clock);
    const away = world.offBy(clock);
    world.isAway = false;
    await clock.follow();
    expect([away, world.offBy(clock)]).toEqual([0, 0]);
  });

  it.each([0, 10 * MINUTE])('is not moved by answers that are long under way, %i ms after a jump', async (skewMs) => {
    const world = new ClockWorld();
    const clock = await world.lead();
    world.databaseSkewMs = skewMs;
    await clock.follow();
    const seen: number[] = [];
    for (const answerMs of [
      { there: 5_000, back: 0 },
      { there: 0, back: 5_000 },
      { there: 2_500, back: 2_500 },
    ]) {
      world.answerMs = answerMs;
      seen.push(Math.round(await clock.follow()));
    }
    expect(seen).toEqual([0, 0, 0]);
  });

  it('never goes back within a term, whatever the database says', async () => {
    const world = new ClockWorld();
    const clock = await world.lead();
    let lastMs = clock.nowMs();
    const steps: boolean[] = [];
    for (let turn = 0; turn < 500; turn += 1) {
      world.databaseSkewMs = ((turn * 7_919) % 13) * 5 * MINUTE - 30 * MINUTE;
      world.trueMs += (turn * 31) % 1_500;
      await clock.follow();
      steps.push(clock.nowMs() >= lastMs);
      lastMs = clock.nowMs();
    }
    expect(steps.every(Boolean)).toBe(true);
  });
});

describe('R22: what others read after the database’s clock jumped', () => {
  const read = async ({ store }: ClockWorld) => (await store.read.clock.read()).at.getTime();

  it.each([-10 * MINUTE, 10 * MINUTE, HOUR])('by %i ms is the leader’s time, and the next leader’s', async (skewMs) => {
    const world = new ClockWorld();
    const clock = await world.lead();
    await world.pass(MINUTE, clock);
    world.databaseSkewMs = skewMs;
    await world.pass(30 * MINUTE, clock);
    const next = await world.lead(EPOCH + 1);
    const apart = [await read(world), next.nowMs()].map((ms) => Math.abs(ms - clock.nowMs()));
    expect(Math.max(...apart)).toBeLessThanOrEqual(2 * AHEAD_MS_MIN);
  });

  it('is the database’s own once that has been followed', async () => {
    const world = new ClockWorld();
    const clock = await world.lead();
    world.databaseSkewMs = 60 * SECOND;
    await world.pass(60 * FOLLOWED_SECONDS * SECOND + MINUTE, clock);
    expect([world.aheadMs, world.offBy(clock)]).toEqual([0, 60 * SECOND]);
  });

  it('goes on to be followed by the next leader', async () => {
    const world = new ClockWorld();
    world.aheadMs = 60 * SECOND;
    const clock = await world.lead();
    world.trueMs += 30 * FOLLOWED_SECONDS * SECOND;
    expect(world.offBy(clock)).toBe(30 * SECOND);
  });

  it('is not written by a leader that is none any more', async () => {
    const world = new ClockWorld();
    const clock = await world.lead();
    world.epoch = EPOCH + 1;
    world.databaseSkewMs = HOUR;
    await clock.follow();
    expect(world.aheadMs).toBe(0);
  });

  it('is written seldom, and not at all without a jump', async () => {
    const world = new ClockWorld();
    const clock = await world.lead(EPOCH, 1.000_1);
    await world.pass(DAY, clock);
    const quiet = world.writes;
    world.databaseSkewMs = 10 * MINUTE;
    await world.pass(HOUR, clock);
    expect([quiet, world.writes <= 1 + HOUR / (FOLLOWED_SECONDS * AHEAD_MS_MIN)]).toEqual([0, true]);
  });
});
