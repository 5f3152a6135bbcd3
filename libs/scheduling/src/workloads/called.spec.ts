/** S5: sentences name nothing of another tenant. Fixture: one node of 8 devices, and the same with one tenant alone. */
import { describe, expect, it } from '@jest/globals';
import { DEFAULT_TENANT_ID } from '#domain';
import { plan } from './cycle.builders.ts';
import { gpuCluster, type PendingSketch, pending, queue, running } from './workloads.builders.ts';

const OTHERS = 'others';

const CASES: readonly {
  readonly name: string;
  readonly work: PendingSketch;
  readonly ahead?: PendingSketch;
  readonly quota?: number;
  readonly runs: Parameters<typeof running>[1];
  readonly nodes?: readonly number[];
  /** Words that name the other's work where it is of the same tenant. */
  readonly wants: RegExp;
}[] = [
  { name: 'who is stopped', work: { devices: 8 }, runs: { devices: 8 }, wants: /asked to end \(secret\)/ },
  {
    name: 'by whom it is reclaimed',
    work: { devices: 8, queueId: 'secret-queue', priority: 1 },
    quota: 8,
    runs: { devices: 8 },
    wants: /reclaimed for job of queue secret-queue/,
  },
  { name: 'by whom it is preempted', work: { devices: 8 }, runs: { devices: 8 }, wants: /preempted by job/ },
  {
    name: 'what would have to move',
    work: { devices: 8, preemption: 'never' },
    runs: { devices: 1 },
    nodes: [8, 1],
    wants: /move secret out of/,
  },
  {
    name: 'who is ahead',
    work: { devices: 7, priority: 3 },
    ahead: { devices: 8, priority: 4, preemption: 'never' },
    runs: { devices: 4, preemptible: false },
    wants: /secret-head is before it/,
  },
];

describe.each(CASES)('S5 $name', ({ work, ahead, quota, runs, nodes = [8], wants }) => {
  /** All that is said, to whom it is said. */
  const said = (jobTenant: string) => {
    const job = pending('job', { ...work, tenantId: jobTenant });
    const heads = ahead === undefined ? [] : [pending('secret-head', ahead)];
    const { verdicts, stops } = plan({
      clusters: [gpuCluster('c1', nodes)],
      queues: [
        queue('default'),
        queue('secret-queue', quota === undefined ? {} : { quota: { 'nvidia.com/gpu': quota } }),
      ],
      pending: [...heads, job],
      running: [running('secret', { node: 'c1-n1', ...runs })],
    });
    const toJob = verdicts.filter(({ workloadId }) => workloadId === 'job');
    return {
      toJob: toJob
        .flatMap(({ reason, changes, victims }) => [reason, ...changes, ...victims.map(({ jobName }) => jobName)])
        .join(' '),
      toVictim: stops.map(({ reason }) => reason).join(' '),
    };
  };

  it('is said within a tenant, and not to another', () => {
    const own = said(DEFAULT_TENANT_ID);
    expect(`${own.toJob} ${own.toVictim}`).toMatch(wants);
    const foreign = said(OTHERS);
    expect(foreign.toJob).not.toMatch(/secret/);
    expect(foreign.toVictim).not.toMatch(/\bjob\b|secret/);
    expect(`${foreign.toJob} ${foreign.toVictim}`).toMatch(/work of another tenant/);
  });
});
