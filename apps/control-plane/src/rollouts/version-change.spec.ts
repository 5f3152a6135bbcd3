import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ROLLOUT_POLICY, type Deployment, type Placement, type PlacementPhase, type Rollout } from '#domain';
import { nextRollout } from './version-change.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');
const deployment = { id: 'd', tenantId: 't', versionId: 'v2', deletedAt: null } as Deployment;

function live(...lines: `v${number} ${PlacementPhase}`[]): Placement[] {
  return lines.map((line) => {
    const [versionId, phase] = line.split(' ');
    return { versionId, phase } as Placement;
  });
}

function active(change: Partial<Rollout> & { consistency?: 'strict' } = {}): Rollout {
  const { consistency = 'rolling', ...rest } = change;
  const policy = { ...DEFAULT_ROLLOUT_POLICY, consistency };
  return { fromVersionId: 'v1', toVersionId: 'v2', policy, isSwitched: false, ...rest } as Rollout;
}

const cases: {
  readonly name: string;
  readonly to: string;
  readonly live: readonly Placement[];
  readonly active?: Rollout;
  readonly deployment?: Partial<Deployment>;
  /** `from` of the rollout that begins; null: none does. */
  readonly wantFrom: string | null;
}[] = [
  { name: 'comes from what was wanted', to: 'v3', live: live('v2 Assigned'), wantFrom: 'v2' },
  { name: 'is none where nothing runs', to: 'v3', live: [], wantFrom: null },
  { name: 'is none to what runs', to: 'v2', live: live('v2 Assigned'), wantFrom: null },
  {
    name: 'is none of what is being removed',
    to: 'v3',
    live: live('v2 Assigned'),
    deployment: { deletedAt: new Date(0) },
    wantFrom: null,
  }, // prettier-ignore
  {
    name: 'comes from what most run while one was active',
    to: 'v3',
    live: live('v1 Assigned', 'v2 Assigned', 'v2 Assigned'),
    active: active(),
    wantFrom: 'v2',
  }, // prettier-ignore
  {
    name: 'comes from the older one of equals',
    to: 'v3',
    live: live('v2 Assigned', 'v1 Assigned'),
    active: active(),
    wantFrom: 'v1',
  }, // prettier-ignore
  {
    name: 'does not count what drains',
    to: 'v3',
    live: live('v2 Assigned', 'v1 Draining', 'v1 Draining'),
    active: active(),
    wantFrom: 'v2',
  }, // prettier-ignore
  {
    name: 'counts what drains where nothing else is',
    to: 'v3',
    live: live('v2 Draining'),
    active: active(),
    wantFrom: 'v2',
  }, // prettier-ignore
  {
    name: 'is none back to what most run',
    to: 'v1',
    live: live('v1 Assigned', 'v1 Assigned', 'v2 Assigned'),
    active: active(),
    wantFrom: null,
  }, // prettier-ignore
  {
    name: 'goes back in waves where most run the new one',
    to: 'v1',
    live: live('v1 Assigned', 'v2 Assigned', 'v2 Assigned'),
    active: active(),
    wantFrom: 'v2',
  }, // prettier-ignore
  {
    name: 'strict: comes from what serves before the switch',
    to: 'v3',
    live: live('v1 Assigned', 'v2 Assigned', 'v2 Assigned'),
    active: active({ consistency: 'strict' }),
    wantFrom: 'v1',
  }, // prettier-ignore
  {
    name: 'strict: comes from what serves after the switch',
    to: 'v3',
    live: live('v1 Assigned', 'v1 Assigned', 'v2 Assigned'),
    active: active({ consistency: 'strict', isSwitched: true }),
    wantFrom: 'v2',
  }, // prettier-ignore
];

describe('the rollout that a change begins', () => {
  it.each(cases)('$name', ({ to, live: placements, active: before, deployment: change, wantFrom }) => {
    const wanted = { toVersionId: to, policy: DEFAULT_ROLLOUT_POLICY, active: before, live: placements, now: NOW };
    const begun = nextRollout({ ...deployment, ...change }, wanted);
    expect(begun === null ? null : [begun.fromVersionId, begun.toVersionId, begun.wave, begun.phase]).toEqual(
      wantFrom === null ? null : [wantFrom, to, -1, 'Progressing'],
    );
  });
});
