import { describe, expect, it } from '@jest/globals';
import { desiredFetchReplySchema, outlineDigest, outlineOf } from '#contracts';
import { applyListDelta, type DesiredReplica, type DesiredState } from '#domain';
import { documentFor } from './desired-fetch.ts';

const CLUSTER = '01900000-0000-7000-8000-00000000c001';

const replica = (index: number, change: Partial<DesiredReplica> = {}): DesiredReplica => ({
  replicaId: `01900000-0000-7000-8000-${String(index).padStart(12, '0')}`,
  deploymentId: CLUSTER,
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: 'a'.repeat(64),
  claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  epoch: 1,
  draining: false,
  ...change,
});

const stateOf = (replicas: readonly DesiredReplica[], revision = 7): DesiredState => ({
  clusterId: CLUSTER,
  epoch: 3,
  revision,
  versions: [],
  replicas,
  tasks: [],
});

const heldOf = (state: DesiredState, withOutline: boolean) => {
  const outline = outlineOf(state);
  return { digest: outlineDigest(state, outline), ...(withOutline ? { outline } : {}) };
};

const many = Array.from({ length: 100 }, (_, index) => replica(index));
const bytesOf = (value: unknown) => JSON.stringify(value).length;

describe('R5: what a reconnecting agent is sent', () => {
  it('the whole document when it tells nothing of what it holds (R21: an older agent)', () => {
    expect(documentFor(stateOf(many), undefined)).toEqual({ state: stateOf(many) });
  });

  it('that nothing changed, in less than 5 % of the bytes of both ways', () => {
    const held = heldOf(stateOf(many), false);
    const reply = documentFor(stateOf(many), held);
    expect(reply).toEqual({ state: null, unchanged: true });
    expect(bytesOf(reply) + bytesOf(held)).toBeLessThan(0.05 * bytesOf(stateOf(many)));
  });

  it('whatever the order of the keys in which either side stores it', () => {
    const shuffled = many.map(
      (each) => Object.fromEntries(Object.entries(each).reverse()) as unknown as DesiredReplica,
    );
    expect(documentFor(stateOf(shuffled), heldOf(stateOf(many), false))).toEqual({ state: null, unchanged: true });
  });

  it('the same revision with other content is a change (R20: a restored database)', () => {
    const other = stateOf(many.slice(1));
    expect(documentFor(other, heldOf(stateOf(many), false))).toEqual({ state: null, outlineWanted: true });
  });

  it('a change of one item in 100, as a difference that makes the very document', () => {
    const wanted = stateOf([...many.slice(0, 50), replica(50, { draining: true }), ...many.slice(51)], 8);
    const reply = documentFor(wanted, heldOf(stateOf(many), true));
    const { delta } = desiredFetchReplySchema.parse(reply);
    expect(applyListDelta(many, delta!.replicas)).toEqual(wanted.replicas);
    expect(bytesOf(reply)).toBeLessThan(0.05 * bytesOf(wanted));
  });

  it('a small document whole: it costs less than another question', () => {
    const small = stateOf(many.slice(0, 3), 8);
    expect(documentFor(small, heldOf(stateOf(many), false))).toEqual({ state: small });
  });

  it('nothing, when there is no document', () => {
    expect(documentFor(null, heldOf(stateOf(many), true))).toEqual({ state: null });
  });
});
