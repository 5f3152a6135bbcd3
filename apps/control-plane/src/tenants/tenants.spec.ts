// What a tenant's end is refused with, and what it used as people read it.
import { describe, expect, it } from '@jest/globals';
import type { QueueHold, QueueUsage } from '#domain';
import { summarise } from './usage-summary.ts';
import { leftWords } from './what-is-left.ts';

it('what is left is named, as far as there is room', () => {
  const left = [
    { kind: 'jobs', count: 7, names: ['a', 'b'] },
    { kind: 'models', count: 1, names: ['m'] },
  ] as const;
  expect(leftWords('guests', left)).toBe(
    'of the tenant guests there are still 7 jobs (a, b and others), 1 model (m); remove these first, ended jobs too',
  );
});

describe('what was used', () => {
  const OF = { tenant: 'guests', since: '2030-01-01' };
  const used = (queueId: string, change: Partial<QueueUsage> = {}): QueueUsage => ({
    ...{ tenantId: 't', queueId, deviceType: 'cpu', day: '2030-01-02' },
    ...{ jobDeviceSeconds: 1, servingDeviceSeconds: 2, lostDeviceSeconds: 0.5, ...change },
  });
  const held = (queueId: string, kind: QueueHold['kind']): QueueHold => ({
    ...{ queueId, kind, deviceType: 'cpu', holders: 1, devices: 2, deviceSeconds: 10 },
  });
  const queues = { present: [{ id: '1', name: 'here' }], removed: [{ id: '2', name: 'gone' }] };

  it('is added up by queue and device type, over days, with what runs now', () => {
    const charged = [used('1'), used('1', { day: '2030-01-03' }), used('1', { deviceType: 'nvidia.com/gpu' })];
    expect(summarise(OF, queues, charged, [held('1', 'job'), held('1', 'serving')])).toEqual({
      ...OF,
      queues: [
        { queue: 'here', deviceType: 'cpu', jobDeviceSeconds: 12, servingDeviceSeconds: 14, lostDeviceSeconds: 1 },
        {
          ...{ queue: 'here', deviceType: 'nvidia.com/gpu' },
          ...{ jobDeviceSeconds: 1, servingDeviceSeconds: 2, lostDeviceSeconds: 0.5 },
        },
      ],
      total: { jobDeviceSeconds: 13, servingDeviceSeconds: 16, lostDeviceSeconds: 1.5 },
    });
  });

  it('of queues that are gone is told by the name that they had, or by their id', () => {
    const names = summarise(OF, queues, [used('1'), used('2'), used('3')], []).queues.map(({ queue }) => queue);
    expect(names).toEqual(['3 (removed)', 'gone (removed)', 'here']);
  });
});
