import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Job, JobDependency, JobPhase } from '#domain';
import { dependencyVerdict } from './dag.ts';

type DagJob = Pick<Job, 'id' | 'dependsOn'>;

const onSuccess = (...jobIds: string[]): JobDependency[] => jobIds.map((jobId) => ({ jobId, when: 'success' }));
const always = (...jobIds: string[]): JobDependency[] => jobIds.map((jobId) => ({ jobId, when: 'always' }));
const dag = (id: string, dependsOn: JobDependency[] = []): DagJob => ({ id, dependsOn });
const stand = (phases: Readonly<Record<string, JobPhase>>, reason = '') =>
  new Map(Object.entries(phases).map(([id, phase]) => [id, { id, name: id, phase, reason }]));

describe('what a job waits for', () => {
  const table: {
    name: string;
    dependsOn: JobDependency[];
    phases: Record<string, JobPhase>;
    reason?: string;
    want: ReturnType<typeof dependencyVerdict>;
  }[] = [
    { name: 'nothing', dependsOn: [], phases: {}, want: { state: 'ready' } },
    {
      name: 'D01 success of the one before',
      dependsOn: onSuccess('a'),
      phases: { a: 'Running' },
      want: { state: 'waiting', reason: 'waits for job a (Running)' },
    },
    { name: 'D01 which came', dependsOn: onSuccess('a'), phases: { a: 'Succeeded' }, want: { state: 'ready' } },
    {
      name: 'D01 all of several, the first three by name',
      dependsOn: onSuccess('a', 'b', 'c', 'd', 'e'),
      phases: { a: 'Succeeded', b: 'Waiting', c: 'Queued', d: 'Stopping', e: 'Suspended' },
      want: { state: 'waiting', reason: 'waits for 4 of 5 jobs: b (Waiting), c (Queued), d (Stopping) and 1 more' },
    },
    {
      name: 'D02 its failure cancels, with the reason',
      dependsOn: onSuccess('a'),
      phases: { a: 'Failed' },
      reason: 'exit code 7',
      want: { state: 'cancel', reason: 'job a, which had to succeed first, is Failed: exit code 7' },
    },
    {
      name: 'D02 so does its cancellation, and that of a whole chain after it',
      dependsOn: onSuccess('a'),
      phases: { a: 'Cancelled' },
      want: { state: 'cancel', reason: 'job a, which had to succeed first, is Cancelled' },
    },
    {
      name: 'D02 at once, whatever else still runs',
      dependsOn: onSuccess('a', 'b'),
      phases: { a: 'Running', b: 'Failed' },
      want: { state: 'cancel', reason: 'job b, which had to succeed first, is Failed' },
    },
    { name: 'D02 unless it says always', dependsOn: always('a'), phases: { a: 'Failed' }, want: { state: 'ready' } },
    {
      name: 'D02 always, after success too',
      dependsOn: always('a'),
      phases: { a: 'Succeeded' },
      want: { state: 'ready' },
    },
    {
      name: 'D02 always waits for the end all the same',
      dependsOn: always('a'),
      phases: { a: 'Starting' },
      want: { state: 'waiting', reason: 'waits for job a (Starting)' },
    },
    {
      name: 'a job that is gone has ended, which is enough for always',
      dependsOn: always('gone'),
      phases: {},
      want: { state: 'ready' },
    },
    {
      name: 'a job that is gone did not provably succeed',
      dependsOn: onSuccess('gone'),
      phases: {},
      want: { state: 'cancel', reason: 'job gone, which had to succeed first, is no longer known' },
    },
    {
      name: 'D02 a job that is gone is called by the name that it had',
      dependsOn: [{ jobId: '01a22ba5-0000-7000-8000-000000000000', when: 'success', name: 'prepare' }],
      phases: {},
      want: { state: 'cancel', reason: 'job prepare, which had to succeed first, is no longer known' },
    },
    {
      name: 'D05 a parent that failed and is tried again holds its children',
      dependsOn: onSuccess('a'),
      phases: { a: 'Queued' },
      reason: 'exit code 7; tried again in 10 s',
      want: { state: 'waiting', reason: 'waits for job a (Queued)' },
    },
    {
      name: 'D05 also one that says always: a try that failed is no end',
      dependsOn: always('a'),
      phases: { a: 'Starting' },
      want: { state: 'waiting', reason: 'waits for job a (Starting)' },
    },
  ];

  it.each(table)('$name', ({ dependsOn, phases, reason = '', want }) => {
    expect(dependencyVerdict({ dependsOn }, stand(phases, reason))).toEqual(want);
  });
});

/** Runs jobs as a controller would: what is ready runs and ends as `ends` says, one a step. Returns what started, in order. */
function run(jobs: readonly DagJob[], ends: (id: string, start: number) => JobPhase) {
  const phases = new Map<string, JobPhase>(jobs.map(({ id }) => [id, 'Waiting']));
  const starts: string[] = [];
  const look = () => stand(Object.fromEntries(phases));
  for (let step = 0; step < 3 * jobs.length + 10; step += 1) {
    for (const { id, dependsOn } of jobs.filter((job) => phases.get(job.id) === 'Waiting')) {
      const { state } = dependencyVerdict({ dependsOn }, look());
      if (state === 'ready') phases.set(id, 'Queued');
      if (state === 'cancel') phases.set(id, 'Cancelled');
    }
    const next = [...phases].find(([, phase]) => phase === 'Queued')?.[0];
    if (next === undefined) continue;
    starts.push(next);
    phases.set(next, ends(next, starts.filter((id) => id === next).length));
  }
  return { starts, phases: Object.fromEntries(phases) };
}

describe('a graph that runs', () => {
  const diamond = [dag('d', onSuccess('b', 'c')), dag('c', onSuccess('a')), dag('b', onSuccess('a')), dag('a')];

  it('D04 every job of a diamond runs once, its end last', () => {
    const { starts } = run(diamond, () => 'Succeeded');
    expect([starts[0], [...starts.slice(1, 3)].sort(), starts[3], starts.length]).toEqual(['a', ['b', 'c'], 'd', 4]);
  });

  it('D05 the children start once the parent’s third try succeeded', () => {
    const { starts } = run(diamond, (id, start) => (id === 'a' && start < 3 ? 'Queued' : 'Succeeded'));
    expect([starts.slice(0, 3), starts.slice(3).sort()]).toEqual([
      ['a', 'a', 'a'],
      ['b', 'c', 'd'],
    ]);
  });

  it('D02 a failure cancels everything below it but what says always', () => {
    const jobs = [...diamond, dag('report', always('d')), dag('after-report', onSuccess('report'))];
    const { starts, phases } = run(jobs, (id) => (id === 'b' ? 'Failed' : 'Succeeded'));
    expect(phases).toEqual({
      a: 'Succeeded',
      b: 'Failed',
      c: 'Succeeded',
      d: 'Cancelled',
      report: 'Succeeded',
      'after-report': 'Succeeded',
    });
    expect(starts).not.toContain('d');
  });

  it('D03 whatever names only jobs before it comes to an end, with each job started at most once', () => {
    const edges = fc.array(fc.tuple(fc.nat(7), fc.nat(7), fc.boolean()), { maxLength: 14 });
    fc.assert(
      fc.property(edges, fc.array(fc.nat(7)), (given, failing) => {
        const jobs = Array.from({ length: 8 }, (_, from) => {
          const named = given.filter(([at, to]) => at === from && to < from);
          const targets = new Map(named.map(([, to, isAlways]) => [to, isAlways]));
          return dag(
            `j${from}`,
            [...targets].map(([to, isAlways]) => ({ jobId: `j${to}`, when: isAlways ? 'always' : 'success' })),
          );
        });
        const { starts, phases } = run(jobs, (id) => (failing.includes(Number(id[1])) ? 'Failed' : 'Succeeded'));
        expect(new Set(starts).size).toBe(starts.length);
        expect(Object.values(phases)).not.toContain('Waiting');
      }),
    );
  });
});
