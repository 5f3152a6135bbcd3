import { describe, expect, it } from '@jest/globals';
import { type OverviewQuestion, overviewOf } from './overview.ts';
import { summaryOf } from './overview-summary.ts';
import type { Member } from './site-group.ts';
import { artifact, held, MB, member, NOW, policy, VERSIONS, version } from './sync.builders.ts';

const ask = (members: readonly Member[], change: Partial<OverviewQuestion> = {}) =>
  overviewOf({
    version: version(4),
    versions: VERSIONS,
    artifacts: [artifact(3, 4, 20)],
    members,
    now: NOW,
    ...change,
  });

/** Opens in an hour, for an hour. */
const NIGHT = policy({ windows: [{ from: '13:00', to: '14:00' }] });
/** Open for a minute more. */
const CLOSING = policy({ windows: [{ from: '11:00', to: '12:01' }] });
const measures = (registryBytesPerSecond: number, diskFreeBytes = 1e12) => ({
  measures: { registryBytesPerSecond, applyBytesPerSecond: {}, diskFreeBytes },
});
const has3 = { versions: [held(3)] };

describe('the overview of a version', () => {
  const table: { name: string; member: Member; want: Record<string, unknown> }[] = [
    {
      name: 'a cluster that holds it',
      member: member('a', { versions: [held(4)] }),
      want: { state: 'held', path: 'nothing', wireBytes: 0, seconds: 0, prospect: 'held' },
    },
    {
      name: 'one that fetches it: as it says itself',
      member: member('a', {
        versions: [
          held(4, {
            phase: 'Fetching',
            sync: {
              path: 'direct-diff',
              source: 'registry',
              wireBytesHave: MB,
              wireBytesTotal: 4 * MB,
              bytesPerSecond: MB,
              etaSeconds: 3,
            },
          }),
        ],
      }),
      want: { state: 'fetching', path: 'direct-diff', wireBytes: 4 * MB, seconds: 3, prospect: 'fetching' },
    },
    {
      name: 'one that fetches it and does not say how',
      member: member('a', { versions: [held(4, { phase: 'Fetching' })] }),
      want: { state: 'fetching', path: 'whole-files', seconds: null, prospect: 'fetching' },
    },
    {
      name: 'one in which it failed',
      member: member('a', { versions: [held(4, { phase: 'Failed', reason: 'the disk is full' })] }),
      want: { state: 'failed', prospect: 'failed', reason: expect.stringMatching(/^failed: the disk is full; then: /) },
    },
    {
      name: 'one that would take the diff, at once',
      member: member('a', has3),
      want: { state: 'planned', path: 'direct-diff', wireBytes: 20 * MB, startsInSeconds: 0, finishesInWindow: null },
    },
    {
      name: 'one that waits for its window, and finishes in it',
      member: member('a', has3, { sync: NIGHT }),
      want: { state: 'planned', startsInSeconds: 3_600, finishesInWindow: true, prospect: 'finishes' },
    },
    {
      name: 'one whose window is too short for it',
      member: member('a', { ...has3, ...measures(MB / 4) }, { sync: CLOSING }),
      want: {
        startsInSeconds: 0,
        finishesInWindow: false,
        prospect: 'too-slow',
        reason: expect.stringMatching(/^takes 81 s, and 60 s is left of the window 11:00–12:01 UTC: /),
      },
    },
    {
      name: 'one without room for it',
      member: member('a', { ...has3, ...measures(MB, 119 * MB) }),
      want: { prospect: 'no-disk', reason: 'needs 120 MB of disk and has 119 MB free' },
    },
    {
      name: 'one out of contact',
      member: member('a', has3, { phase: 'Unknown' }),
      want: { state: 'unreachable', path: 'impossible', seconds: null, prospect: 'unreachable' },
    },
    {
      name: 'one that has never reported',
      member: member('a', null),
      want: { state: 'unreachable', reason: 'has never reported' },
    },
  ];
  it.each(table)('shows $name', ({ member: of, want }) => {
    const [{ row, prospect }] = ask([of]) as [ReturnType<typeof overviewOf>[number]];
    expect({ prospect, ...row }).toMatchObject(want);
  });

  it('one of a site group asks the registry, the others wait for it and fetch from it', () => {
    const near = { labels: { 'site-group': 'hall' } };
    const serves = (name: string, change = {}) =>
      member(name, { blobEndpoint: `${name}:7500`, ...has3 }, { ...near, ...change });
    // "a" may not begin yet, so "b" fetches for all.
    const rows = ask([serves('c'), serves('b'), serves('a', { sync: NIGHT }), member('far', has3)]).map(
      ({ row }) => row,
    );
    const first = rows.find(({ cluster }) => cluster === 'b')!;
    expect(rows.map(({ cluster, source, startsInSeconds }) => [cluster, source, startsInSeconds])).toEqual([
      ['a', 'b', 3_600],
      ['b', 'registry', 0],
      ['c', 'b', first.seconds],
      ['far', 'registry', 0],
    ]);
  });

  it('a neighbour that serves nobody is waited for by nobody', () => {
    const near = { labels: { 'site-group': 'hall' } };
    const rows = ask([member('a', has3, near), member('b', has3, near)]).map(({ row }) => row.source);
    expect(rows).toEqual(['registry', 'registry']);
  });

  it('clusters of other tenants are no neighbours', () => {
    const near = { labels: { 'site-group': 'hall' } };
    const holder = member('a', { blobEndpoint: 'a:1', versions: [held(4)] }, { ...near, tenantId: 'other' });
    expect(ask([holder, member('b', has3, near)]).map(({ row }) => row.source)).toEqual(['', 'registry']);
  });
});

describe('the summary', () => {
  const many = (count: number, of: (name: string) => Member) =>
    Array.from({ length: count }, (_, index) => of(`edge-${index + 1}`));
  const slow = (name: string) => member(name, { ...has3, ...measures(MB / 4) }, { sync: CLOSING });
  const table: { name: string; members: Member[]; want: string }[] = [
    { name: 'nobody', members: [], want: 'there is no cluster to bring it to' },
    { name: 'all hold it', members: many(3, (name) => member(name, { versions: [held(4)] })), want: '3 hold it' },
    { name: 'no windows', members: many(2, (name) => member(name, has3)), want: '2 will finish' },
    {
      name: 'most finish in the window, three do not, each with its reason',
      members: [
        ...many(57, (name) => member(name, has3, { sync: NIGHT })),
        slow('x-1'),
        slow('x-2'),
        member('x-3', has3, { phase: 'Unknown' }),
      ],
      want: '57 will finish in the window, 3 will not: 2 too slow for the window (x-1, x-2), 1 out of contact (x-3)',
    },
    {
      name: 'only so many are named',
      members: many(7, slow),
      want: '7 will not: 7 too slow for the window (edge-1, edge-2, edge-3, edge-4, edge-5 and 2 more)',
    },
    {
      name: 'one of each',
      members: [
        member('a', { versions: [held(4)] }),
        member('b', { versions: [held(4, { phase: 'Fetching' })] }),
        member('c', has3),
        member('d', { ...has3, ...measures(MB, MB) }),
        member('e', { versions: [held(4, { phase: 'Failed' })] }),
      ],
      want: '1 holds it, 1 fetches it now, 1 will finish, 2 will not: 1 short of disk (d), 1 failed (e)',
    },
  ];
  it.each(table)('$name', ({ members, want }) => {
    expect(summaryOf(ask(members))).toBe(want);
  });
});
