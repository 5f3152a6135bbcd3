import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { DesiredReplica, DesiredState, DesiredVersion } from './desired.ts';
import {
  type AgentAction,
  type LocalReplica,
  type LocalState,
  reconcileCluster,
  retryDelayMs,
} from './reconciliation.ts';

const NOW_MS = 1_000_000;
const version = (digest: string): DesiredVersion => ({
  versionId: digest,
  modelName: 'm',
  number: 1,
  digest,
  files: [],
});
const replica = (replicaId: string, rest: Partial<DesiredReplica> = {}): DesiredReplica => ({
  replicaId,
  deploymentId: 'd',
  deploymentName: 'd',
  servedModel: 'm',
  versionDigest: 'v1',
  claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  epoch: 1,
  draining: false,
  ...rest,
});
const desired = (replicas: DesiredReplica[], digests = ['v1']): DesiredState => ({
  clusterId: 'a',
  epoch: 1,
  revision: 1,
  versions: digests.map(version),
  replicas,
  tasks: [],
});
const local = (rest: {
  replicas?: LocalReplica[];
  held?: string[];
  fetching?: string[];
  retryAtMs?: Record<string, number>;
}): LocalState => ({
  replicas: rest.replicas ?? [],
  heldDigests: new Set(rest.held),
  fetchingDigests: new Set(rest.fetching),
  fetchRetryAtMs: new Map(Object.entries(rest.retryAtMs ?? {})),
});
const here = (replicaId: string, phase: LocalReplica['phase'] = 'Ready', rest: Partial<LocalReplica> = {}) => ({
  replicaId,
  versionDigest: 'v1',
  phase,
  ...rest,
});

function words(action: AgentAction): string {
  switch (action.action) {
    case 'fetch':
      return `fetch ${action.version.digest}`;
    case 'start':
      return `start ${action.replica.replicaId}`;
    case 'cancel-fetch':
      return `cancel ${action.digest}`;
    case 'drain':
      return `drain ${action.replicaId}`;
    case 'stop':
      return `stop ${action.replicaId}: ${action.reason}`;
    case 'wait':
      return `wait ${action.replicaId}: ${action.reason}`;
  }
}

describe('reconcileCluster', () => {
  it.each<[string, DesiredState, LocalState, string[]]>([
    ['nothing here: the version first', desired([replica('r')]), local({}), ['fetch v1']],
    ['a fetch under way is left alone', desired([replica('r')]), local({ fetching: ['v1'] }), []],
    ['held: the engine', desired([replica('r')]), local({ held: ['v1'] }), ['start r']],
    [
      'invariant 5: no engine before its version is held',
      desired([replica('r', { versionDigest: 'v2' })], ['v1', 'v2']),
      local({ held: ['v1'] }),
      ['fetch v2'],
    ],
    [
      'R5 what is as wanted keeps its process',
      desired([replica('r')]),
      local({ held: ['v1'], replicas: [here('r')] }),
      [],
    ],
    [
      'R5 and keeps it though its version must be verified anew',
      desired([replica('r')]),
      local({ replicas: [here('r')] }),
      ['fetch v1'],
    ],
    ['no longer wanted', desired([], []), local({ held: ['v1'], replicas: [here('r')] }), ['stop r: no longer wanted']],
    [
      'another version under the same id: stopped, and not started beside itself',
      desired([replica('r', { versionDigest: 'v2' })], ['v2']),
      local({ held: ['v1', 'v2'], replicas: [here('r')] }),
      ['stop r: its version changed'],
    ],
    [
      'draining: told once more each turn, which is harmless',
      desired([replica('r', { draining: true })], []),
      local({ held: ['v1'], replicas: [here('r')] }),
      ['drain r'],
    ],
    [
      'draining and already gone: never started',
      desired([replica('r', { draining: true })], []),
      local({ held: ['v1'] }),
      [],
    ],
    ['stopping: goes on stopping', desired([], []), local({ held: ['v1'], replicas: [here('r', 'Stopping')] }), []],
    [
      'wanted again while stopping: not before it is gone',
      desired([replica('r')]),
      local({ held: ['v1'], replicas: [here('r', 'Stopping')] }),
      [],
    ],
    [
      'failed: waits for its time',
      desired([replica('r')]),
      local({ held: ['v1'], replicas: [here('r', 'Failed', { retryAtMs: NOW_MS + 1 })] }),
      [],
    ],
    [
      'failed: at its time',
      desired([replica('r')]),
      local({ held: ['v1'], replicas: [here('r', 'Failed', { retryAtMs: NOW_MS })] }),
      ['start r'],
    ],
    [
      'failed and not wanted',
      desired([], []),
      local({ held: ['v1'], replicas: [here('r', 'Failed', { retryAtMs: 0 })] }),
      ['stop r: no longer wanted'],
    ],
    ['a fetch that failed waits', desired([replica('r')]), local({ retryAtMs: { v1: NOW_MS + 1 } }), []],
    ['a fetch that failed, at its time', desired([replica('r')]), local({ retryAtMs: { v1: NOW_MS } }), ['fetch v1']],
    ['a fetch that nobody wants', desired([], []), local({ fetching: ['v9'] }), ['cancel v9']],
    [
      'room is made before it is taken',
      desired([replica('new', { versionDigest: 'v2' })], ['v2']),
      local({ held: ['v1', 'v2'], replicas: [here('old')] }),
      ['stop old: no longer wanted', 'start new'],
    ],
  ])('%s', (_case, want, has, actions) => {
    expect(reconcileCluster(want, has, NOW_MS).map(words)).toEqual(actions);
  });

  it('any state: no start without a held version, no stop of what the document wants, one action a replica', () => {
    const digest = fc.constantFrom('v1', 'v2');
    const id = fc.constantFrom('a', 'b', 'c');
    const wanted = fc.uniqueArray(fc.record({ replicaId: id, versionDigest: digest, draining: fc.boolean() }), {
      selector: ({ replicaId }) => replicaId,
    });
    const present = fc.uniqueArray(
      fc.record({
        replicaId: id,
        versionDigest: digest,
        phase: fc.constantFrom('Starting', 'Ready', 'Failed', 'Stopping' as const),
      }),
      { selector: ({ replicaId }) => replicaId },
    );
    fc.assert(
      fc.property(wanted, present, fc.subarray(['v1', 'v2']), (replicas, running, held) => {
        const document = desired(
          replicas.map(({ replicaId, ...rest }) => replica(replicaId, rest)),
          ['v1', 'v2'],
        );
        const state = local({ held, replicas: running as LocalReplica[] });
        const actions = reconcileCluster(document, state, NOW_MS);
        const starts = actions.flatMap((each) => (each.action === 'start' ? [each.replica] : []));
        const stops = actions.flatMap((each) => (each.action === 'stop' ? [each.replicaId] : []));
        expect(starts.every(({ versionDigest }) => held.includes(versionDigest))).toBe(true);
        const isWanted = (replicaId: string) =>
          replicas.some((want) => {
            const run = running.find((each) => each.replicaId === replicaId);
            return want.replicaId === replicaId && run?.versionDigest === want.versionDigest;
          });
        expect(stops.filter(isWanted)).toEqual([]);
        const touched = [...starts.map(({ replicaId }) => replicaId), ...stops];
        expect(new Set(touched).size).toBe(touched.length);
      }),
    );
  });
});

describe('retryDelayMs', () => {
  it.each([
    [0, 1_000],
    [1, 1_000],
    [2, 2_000],
    [6, 32_000],
    [7, 60_000],
    [1_000_000, 60_000],
  ])('try %i waits %i ms', (attempt, want) => {
    expect(retryDelayMs(attempt)).toBe(want);
  });
});
