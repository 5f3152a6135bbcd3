import { describe, expect, it } from '@jest/globals';
import { planSync, type SyncArtifact, type SyncOffer, type SyncQuestion } from './plan-sync.ts';

const MEGABIT = 1e6 / 8;

function diff(from: string, to: string, megabytes: number, codec = 'small'): SyncArtifact {
  return { from, to, bytes: megabytes * 1e6, resultBytes: 1000e6, codec };
}

function whole(to: string, megabytes: number, codec = 'snapshot'): SyncArtifact {
  return { from: null, to, bytes: megabytes * 1e6, resultBytes: 1000e6, codec };
}

function at(megabitsPerSecond: number, ...artifacts: SyncArtifact[]): SyncOffer[] {
  const source = { kind: 'registry', name: 'registry', bytesPerSecond: megabitsPerSecond * MEGABIT } as const;
  return artifacts.map((artifact) => ({ artifact, source }));
}

function neighbour(name: string, megabitsPerSecond: number, ...artifacts: SyncArtifact[]): SyncOffer[] {
  const source = { kind: 'neighbour', name, bytesPerSecond: megabitsPerSecond * MEGABIT } as const;
  return artifacts.map((artifact) => ({ artifact, source }));
}

function question(overrides: Partial<SyncQuestion>): SyncQuestion {
  return {
    held: ['v1'],
    wanted: 'v4',
    offers: [],
    applyBytesPerSecond: { fast: 400e6, small: 50e6, snapshot: 500e6, raw: 2000e6 },
    stepOverheadSeconds: 0,
    ...overrides,
  };
}

const every = [
  diff('v1', 'v4', 180, 'small'),
  diff('v1', 'v4', 270, 'fast'),
  whole('v4', 660),
  whole('v4', 1000, 'raw'),
];
const chain = [diff('v1', 'v2', 20, 'fast'), diff('v2', 'v3', 20, 'fast'), diff('v3', 'v4', 20, 'fast')];

const cases: readonly {
  name: string;
  asked: SyncQuestion;
  wantPath: string;
  wantCodecs: string[];
  wantSources?: string[];
}[] = [
  {
    name: 'a held version needs nothing',
    asked: question({ held: ['v1', 'v4'], offers: at(10, ...every) }),
    wantPath: 'nothing',
    wantCodecs: [],
  },
  {
    name: 'a slow link takes the fewest bytes',
    asked: question({ offers: at(10, ...every) }),
    wantPath: 'direct-diff',
    wantCodecs: ['small'],
  },
  {
    name: 'a middling link takes the quick codec',
    asked: question({ offers: at(100, ...every) }),
    wantPath: 'direct-diff',
    wantCodecs: ['fast'],
  },
  {
    name: 'a very fast link takes the files as they are',
    asked: question({ offers: at(10_000, ...every) }),
    wantPath: 'snapshot',
    wantCodecs: ['raw'],
  },
  {
    name: 'a chain that is cheaper than the direct diff',
    asked: question({ offers: at(10, ...every, ...chain) }),
    wantPath: 'diff-chain',
    wantCodecs: ['fast', 'fast', 'fast'],
  },
  {
    name: 'a chain whose applying costs more than it saves',
    asked: question({ offers: at(1000, ...every, ...chain.map((step) => ({ ...step, codec: 'small' }))) }),
    wantPath: 'direct-diff',
    wantCodecs: ['fast'],
  },
  {
    name: 'an older snapshot and a diff, where nothing is held',
    asked: question({ held: [], offers: at(10, whole('v3', 600), whole('v4', 660), ...chain) }),
    wantPath: 'snapshot-and-diffs',
    wantCodecs: ['snapshot', 'fast'],
  },
  {
    name: 'a neighbour before the registry at the same speed',
    asked: question({ offers: [...at(100, diff('v1', 'v4', 50)), ...neighbour('edge-2', 100, diff('v1', 'v4', 50))] }),
    wantPath: 'direct-diff',
    wantCodecs: ['small'],
    wantSources: ['edge-2'],
  },
  {
    name: 'a near neighbour with the files beats a diff over a slow link',
    asked: question({ offers: [...at(10, ...every), ...neighbour('edge-2', 1000, whole('v4', 1000, 'raw'))] }),
    wantPath: 'snapshot',
    wantCodecs: ['raw'],
    wantSources: ['edge-2'],
  },
  {
    name: 'steps may come from different sources',
    asked: question({
      wanted: 'v3',
      offers: [...neighbour('edge-2', 1000, diff('v1', 'v2', 20)), ...at(10, diff('v2', 'v3', 20))],
    }),
    wantPath: 'diff-chain',
    wantCodecs: ['small', 'small'],
    wantSources: ['edge-2', 'registry'],
  },
];

describe('planSync', () => {
  it.each(cases)('$name', ({ asked, wantPath, wantCodecs, wantSources }) => {
    const plan = planSync(asked);
    const steps = plan.path === 'impossible' ? [] : plan.steps;
    expect({ path: plan.path, codecs: steps.map(({ artifact }) => artifact.codec) }).toEqual({
      path: wantPath,
      codecs: wantCodecs,
    });
    if (wantSources !== undefined) expect(steps.map(({ source }) => source.name)).toEqual(wantSources);
  });

  it('says bytes, seconds and what the other ways would cost', () => {
    const plan = planSync(question({ offers: at(10, ...every, ...chain) }));
    expect(plan).toMatchObject({ bytes: 60e6, registryBytes: 60e6, seconds: 55.5 });
    expect(plan.reason).toBe(
      'a chain of diffs (fast) from registry: 60.00 MB in 56 s; ' +
        'otherwise a direct diff 180.00 MB in 164 s, the whole version 660.00 MB in 530 s',
    );
  });

  it.each([
    { name: 'nothing offered', offers: [], wantReason: 'nobody offers version v4, neither whole nor as a diff' },
    {
      name: 'only against a version that is not held',
      offers: at(10, diff('v3', 'v4', 20)),
      wantReason: 'version v4 is offered only as a diff against v3, and none of them is held',
    },
    { name: 'no bandwidth', offers: at(0, whole('v4', 660)), wantReason: 'no source of v4 can be reached' },
  ])('is impossible, with the reason: $name', ({ offers, wantReason }) => {
    expect(planSync(question({ offers }))).toEqual({ path: 'impossible', reason: wantReason });
  });

  it('gives the same plan whatever the order of the offers', () => {
    const offers = at(10, ...every, ...chain);
    expect(planSync(question({ offers: offers.toReversed() }))).toEqual(planSync(question({ offers })));
  });
});
