import { describe, expect, it } from '@jest/globals';
import { ProgressMeter } from './progress.ts';

describe('the progress of a fetch', () => {
  it('waits before a way is chosen', () => {
    expect(new ProgressMeter().show(0)).toEqual({
      path: 'waiting',
      source: '',
      wireBytesHave: 0,
      wireBytesTotal: 0,
      bytesPerSecond: 0,
      etaSeconds: null,
    });
  });

  /** 1,000 bytes a second, in pieces of 100, until `untilMs`. */
  function running(untilMs: number): ProgressMeter {
    const meter = new ProgressMeter();
    meter.begin('direct-diff', 500, 20_500);
    meter.from('registry');
    for (let atMs = 100; atMs <= untilMs; atMs += 100) meter.add(100, atMs);
    return meter;
  }

  it('tells path, source, bytes, and the rate and end by the last five seconds', () => {
    const shown = running(10_000).show(10_000);
    expect(shown).toMatchObject({
      path: 'direct-diff',
      source: 'registry',
      wireBytesHave: 10_500,
      wireBytesTotal: 20_500,
    });
    expect(shown.bytesPerSecond).toBeGreaterThan(950);
    expect(shown.bytesPerSecond).toBeLessThan(1_050);
    expect(shown.etaSeconds).toBe(Math.ceil(10_000 / shown.bytesPerSecond));
  });

  it('a change of pace shows within five seconds', () => {
    const meter = running(10_000);
    for (let atMs = 10_100; atMs <= 16_000; atMs += 100) meter.add(10, atMs);
    expect(meter.show(16_000).bytesPerSecond).toBeLessThan(120);
  });

  it('nothing for five seconds is a rate of 0 and an end that cannot be told', () => {
    expect(running(3_000).show(9_000)).toMatchObject({ bytesPerSecond: 0, etaSeconds: null });
  });

  it('what proved worthless is not here any more, and never more than all', () => {
    const meter = running(1_000);
    meter.add(-1_500, 1_100);
    expect(meter.show(1_100).wireBytesHave).toBe(0);
    meter.add(99_999, 1_200);
    expect(meter.show(1_200).wireBytesHave).toBe(20_500);
  });
});
