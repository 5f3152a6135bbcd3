import { describe, expect, it } from '@jest/globals';
import type { QueueUsage } from './tenancy.ts';
import { type HeldDevices, recentUseOf, usageOf } from './usage.ts';

const held = (from: string, to: string): HeldDevices => ({
  tenantId: 'tenant',
  queueId: 'queue',
  deviceType: 'nvidia.com/gpu',
  count: 4,
  fromMs: Date.parse(from),
  toMs: Date.parse(to),
});

describe('what a holder is charged', () => {
  it.each<{ title: string; from: string; to: string; want: [day: string, deviceSeconds: number, lost: number][] }>([
    {
      title: 'within a day',
      from: '2026-01-02T10:00:00Z',
      to: '2026-01-02T10:01:40Z',
      want: [['2026-01-02', 400, 7]],
    },
    {
      title: 'over midnight, each day its own; the loss is of the last',
      from: '2026-01-02T23:59:00Z',
      to: '2026-01-04T00:00:30Z',
      want: [
        ['2026-01-02', 240, 0],
        ['2026-01-03', 345_600, 0],
        ['2026-01-04', 120, 7],
      ],
    },
    {
      title: 'to midnight exactly',
      from: '2026-01-02T23:59:00Z',
      to: '2026-01-03T00:00:00Z',
      want: [['2026-01-02', 240, 7]],
    },
    {
      title: 'nothing when the clock went back, but the loss is told',
      from: '2026-01-02T10:00:00Z',
      to: '2026-01-02T09:00:00Z',
      want: [['2026-01-02', 0, 7]],
    },
  ])('$title', ({ from, to, want }) => {
    const entries = usageOf(held(from, to), 'job', 7);
    expect(entries.map((entry) => [entry.day, entry.jobDeviceSeconds, entry.lostDeviceSeconds])).toEqual(want);
  });

  it('of serving in its own column', () => {
    const [entry] = usageOf(held('2026-01-02T10:00:00Z', '2026-01-02T10:00:01Z'), 'serving');
    expect(entry).toMatchObject({ jobDeviceSeconds: 0, servingDeviceSeconds: 4, lostDeviceSeconds: 0 });
  });

  it('years are bounded', () => {
    const entries = usageOf(held('2001-01-01T00:00:00Z', '2026-01-01T00:00:00Z'), 'serving');
    expect(entries).toHaveLength(400);
  });
});

it('a day’s use counts half as much as the next day’s; serving and jobs in one account (F13)', () => {
  const entry = (day: string, jobDeviceSeconds: number, servingDeviceSeconds: number): QueueUsage => ({
    ...{ tenantId: 'tenant', queueId: 'queue', deviceType: 'cpu', day },
    ...{ jobDeviceSeconds, servingDeviceSeconds, lostDeviceSeconds: 0 },
  });
  const entries = [entry('2026-01-03', 60, 40), entry('2026-01-02', 100, 0), entry('2026-01-04', 8, 0)];
  expect(recentUseOf(entries, Date.parse('2026-01-03T12:00:00Z')).get('queue')).toBe(158);
});
