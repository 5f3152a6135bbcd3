/** Asking without deciding. Fixture: one node of 8 devices. */
import { describe, expect, it } from '@jest/globals';
import { plan } from './cycle.builders.ts';
import { DryRun } from './dry-run.ts';
import { NOW_MS, type PendingSketch, pending, queue, running, snapshot } from './workloads.builders.ts';

const busy = [
  running('low', { node: 'c1-n1', devices: 4, ranSeconds: 60, expectedSeconds: 3_660 }),
  running('high', { node: 'c1-n1', firstDevice: 4, devices: 3, priority: 9 }),
];

describe('a dry run', () => {
  it.each<[string, PendingSketch, string]>([
    ['it would start', { devices: 1 }, 'started'],
    ['others would have to end', { devices: 4 }, 'nominated'],
    ['it would wait', { devices: 4, priority: 1 }, 'waiting'],
    ['it can never fit', { devices: 9 }, 'unschedulable'],
    ['its quota is full', { queueId: 'tight' }, 'unschedulable'],
    ['its queue is paused', { queueId: 'paused' }, 'held'],
  ])('%s: as a cycle with nobody else would say', (_name, sketch, state) => {
    const queues = [
      queue('default'),
      queue('tight', { borrowingLimit: { 'nvidia.com/gpu': 0 } }),
      queue('paused', { paused: true }),
    ];
    const work = pending('job', sketch);
    const parts = { queues, running: busy };
    const got = new DryRun(snapshot(parts)).ask(work);
    expect(got).toEqual({ ...plan({ ...parts, pending: [work] }).verdicts[0]!, place: null });
    expect(got.state).toBe(state);
  });

  it('changes nothing: asked again, it says the same, whatever was asked between', () => {
    const dryRun = new DryRun(snapshot({ running: busy }));
    const [job, other] = [pending('job', { devices: 4 }), pending('other', { devices: 5, priority: 8 })];
    const first = [dryRun.ask(job), dryRun.ask(other)];
    expect([dryRun.ask(job), dryRun.ask(other)]).toEqual(first);
  });

  it('tells when, if what runs keeps its word', () => {
    const got = new DryRun(snapshot({ running: busy })).ask(pending('job', { devices: 5, preemption: 'never' }));
    expect(got.startsByMs).toBe(NOW_MS + 3_600_000);
  });

  it('a queue that does not exist', () => {
    expect(new DryRun(snapshot()).ask(pending('job', { queueId: 'gone' })).state).toBe('unschedulable');
  });
});
