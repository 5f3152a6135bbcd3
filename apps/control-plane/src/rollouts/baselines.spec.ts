import { describe, expect, it } from '@jest/globals';
import type { Rollout, VersionOutcomes } from '#domain';
import { Baselines } from './baselines.ts';

const rollout = { id: 'r', deploymentId: 'd', fromVersionId: 'v1', toVersionId: 'v2' } as Rollout;
const digests = new Map([
  ['v1', 'one'],
  ['v2', 'two'],
]);
const counts = (requests: number, failures: number): VersionOutcomes => ({
  requests,
  failures,
  firstByteCounts: [requests],
});

function counting() {
  const now = new Map([
    ['d/one', counts(100, 10)],
    ['d/two', counts(50, 50)],
  ]);
  const of = (deploymentId: string, digest: string) => now.get(`${deploymentId}/${digest}`)!;
  return { now, baselines: new Baselines({ of }) };
}

describe('what is compared', () => {
  it('is nothing before a new replica serves, and then what came since', () => {
    const { now, baselines } = counting();
    expect(baselines.compare(rollout, digests, false)).toBeNull();
    expect(baselines.compare(rollout, digests, true)).toBeNull();
    now.set('d/one', counts(130, 11)).set('d/two', counts(60, 51));
    // A replica that fails meanwhile does not end the comparison.
    expect(baselines.compare(rollout, digests, false)).toEqual({ from: counts(30, 1), to: counts(10, 1) });
  });

  it('is of each rollout alone, and of none whose versions are not known', () => {
    const { baselines } = counting();
    baselines.compare(rollout, digests, true);
    expect(baselines.compare({ ...rollout, id: 'other' }, digests, false)).toBeNull();
    expect(baselines.compare(rollout, new Map(), true)).toBeNull();
    baselines.retain(new Set(['r']));
    expect(baselines.compare(rollout, digests, false)).toEqual({ from: counts(0, 0), to: counts(0, 0) });
    baselines.retain(new Set());
    expect(baselines.compare(rollout, digests, false)).toBeNull();
  });
});
