import { describe, expect, it } from '@jest/globals';
import {
  type Cluster,
  type ClusterConflict,
  type ClusterPhase,
  type ConflictKind,
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  type Deployment,
  type Observation,
  type Placement,
} from '#domain';
import { type ConflictFacts, stepConflicts } from './conflicts.ts';

const AT = new Date('2026-01-01T00:00:00Z');
const later = (seconds: number) => new Date(AT.getTime() + seconds * 1_000);

/** Lost from sight at AT. */
function cluster(name: string, phase: ClusterPhase = 'Ready', rest: Partial<Cluster> = {}): Cluster {
  return { id: name, tenantId: 't', name, phase, phaseSince: AT, ahead: null, drain: null, ...rest } as Cluster;
}

const chat = (rest: Partial<Deployment> = {}) =>
  ({
    ...{ id: 'chat', name: 'chat', replicas: 1, deletedAt: null },
    ...{ disconnect: DEFAULT_DISCONNECT_POLICY, serving: DEFAULT_DEPLOYMENT_SERVING },
    ...rest,
  }) as Deployment;

const replica = (id: string, clusterId: string, createdSeconds = -100, rest: Partial<Placement> = {}) =>
  ({
    id,
    clusterId,
    deploymentId: 'chat',
    phase: 'Assigned',
    createdAt: later(createdSeconds),
    reason: '',
    ...rest,
  }) as Placement;

function open(kind: ConflictKind, subject = '', rest: Partial<ClusterConflict> = {}): ClusterConflict {
  const of = { id: `${kind} ${subject}`, tenantId: 't', clusterId: 'a', kind, subject, message: 'm', revision: 5 };
  return { ...of, resolution: null, openedAt: later(1), resolvedAt: null, ...rest };
}

function report(revision: number, receivedSeconds: number, local: string[] = []): Observation {
  const replicas = local.map((deploymentId, index) => ({
    ...{ replicaId: `l${index}`, deploymentId, versionDigest: 'd', phase: 'Ready', reason: '', restarts: 0 },
    isLocal: true,
  }));
  return { clusterId: 'a', report: { epoch: 1, revision, replicas }, receivedAt: later(receivedSeconds) } as never;
}

interface Case extends Partial<Omit<ConflictFacts, 'observations' | 'revisions' | 'deployments'>> {
  readonly name: string;
  readonly a?: Cluster;
  readonly observed?: Observation;
  readonly deployment?: Deployment | null;
  /** Of the document of a. Default 5. */
  readonly revision?: number;
  readonly want: { open?: string[]; resolve?: string[]; drop?: string[] };
}

function stepped({ a = cluster('a'), observed, deployment = chat(), revision = 5, ...rest }: Case) {
  const {
    open: opened,
    resolve,
    drop,
  } = stepConflicts({
    now: later(1_000),
    clusters: [a, cluster('b')],
    observations: new Map(observed === undefined ? [] : [['a', observed]]),
    revisions: new Map([['a', { epoch: 1, revision }]]),
    placements: [],
    deployments: new Map(deployment === null ? [] : [['chat', deployment]]),
    open: [],
    ...rest,
  });
  return {
    open: opened.map(({ kind, subject, message }) => `${kind} ${subject}: ${message}`),
    resolve: resolve.map(({ conflict, resolution }) => `${conflict.id}: ${resolution}`),
    drop: drop.map(({ id }) => id),
  };
}

const check = (cases: Case[]) =>
  it.each(cases)('$name', (given) => {
    expect(stepped(given)).toEqual({ open: [], resolve: [], drop: [], ...given.want });
  });

const unknown = cluster('a', 'Unknown');
const since = 'its document changed while it was out of contact (since 2026-01-01T00:00:00.000Z)';

describe('a document that changes while nobody can tell its agent', () => {
  check([
    { name: 'in contact: nothing', want: {} },
    { name: 'silent for a moment: nothing', a: cluster('a', 'Suspect'), want: {} },
    { name: 'lost from sight: where it stands is noted', a: unknown, want: { open: [`document-changed : ${since}`] } },
    { name: 'once', a: unknown, open: [open('document-changed')], want: {} },
    {
      name: 'back, and nothing has changed',
      open: [open('document-changed')],
      observed: report(5, 60),
      want: { drop: ['document-changed '] },
    },
    { name: 'heard, but not reported yet', open: [open('document-changed')], observed: report(5, 0), want: {} },
    {
      name: 'back, and not told yet',
      open: [open('document-changed')],
      revision: 7,
      observed: report(5, 60),
      want: {},
    },
    {
      name: 'back, and told',
      open: [open('document-changed')],
      revision: 7,
      observed: report(7, 60),
      want: { resolve: ['document-changed : its agent has applied revision 7, 2 change(s) after the one that it had'] },
    },
    {
      name: 'its cluster left',
      a: cluster('other'),
      open: [open('document-changed')],
      want: { drop: ['document-changed '] },
    },
  ]);
});

describe('a replica that was given up and placed elsewhere', () => {
  const lost = replica('r1', 'a');
  const instead = replica('r2', 'b', 300);
  const noted = open('document-changed');
  const given = open('replaced-elsewhere', 'r1');
  check([
    { name: 'not yet replaced', a: unknown, open: [noted], placements: [lost], want: {} },
    {
      name: 'replaced: both are named',
      a: unknown,
      open: [noted],
      placements: [lost, instead],
      want: {
        open: [
          'replaced-elsewhere r1: a replica of chat was given up here and placed in b, and may go on serving here',
        ],
      },
    },
    {
      name: 'one that was there before replaces nothing',
      a: unknown,
      open: [noted],
      placements: [lost, replica('r2', 'b', -50)],
      deployment: chat({ replicas: 2 }),
      want: {},
    },
    { name: 'still apart', a: unknown, open: [noted, given], placements: [lost, instead], want: {} },
    { name: 'back, and not resolved yet', open: [given], placements: [lost, instead], want: {} },
    {
      name: 'prefer-central: the one here goes',
      open: [given],
      placements: [{ ...lost, phase: 'Draining', reason: 'only 1 replica is wanted' }, instead],
      want: {
        resolve: ['replaced-elsewhere r1: by prefer-central the replica here goes: only 1 replica is wanted'],
      },
    },
    {
      name: 'prefer-edge: the one here stays',
      open: [given],
      placements: [lost, { ...instead, phase: 'Draining' }],
      deployment: chat({ disconnect: { ...DEFAULT_DISCONNECT_POLICY, reconcile: 'prefer-edge' } }),
      want: {
        resolve: ['replaced-elsewhere r1: by prefer-edge the replica here stays, and what is too much went elsewhere'],
      },
    },
    {
      name: 'it is gone',
      open: [given],
      placements: [instead],
      want: { resolve: ['replaced-elsewhere r1: the replica here is gone'] },
    },
    {
      name: 'its deployment is deleted',
      open: [given],
      placements: [lost, instead],
      deployment: chat({ deletedAt: AT }),
      want: { resolve: ['replaced-elsewhere r1: its deployment is being removed'] },
    },
    {
      name: 'what replaced it went before it came back',
      a: unknown,
      open: [noted, given],
      placements: [lost],
      want: { drop: ['replaced-elsewhere r1'] },
    },
  ]);
});

describe('what its agent started by itself', () => {
  const message =
    'local-replicas chat: its agent runs 2 replica(s) of chat that it started by itself while it was out of contact';
  check([
    { name: 'in contact is no conflict', observed: report(5, 60, ['chat']), want: {} },
    {
      name: 'is one on return',
      open: [open('document-changed')],
      observed: report(5, 60, ['chat', 'chat']),
      want: { open: [message], drop: ['document-changed '] },
    },
    {
      name: 'stays while they run',
      open: [open('local-replicas', 'chat')],
      observed: report(5, 60, ['chat']),
      want: {},
    },
    {
      name: 'ends with them',
      open: [open('local-replicas', 'chat')],
      observed: report(5, 60),
      want: { resolve: ['local-replicas chat: its agent has ended them'] },
    },
  ]);
});

describe('R20: a database that was restored', () => {
  const ahead = cluster('a', 'Ready', { ahead: { epoch: 9, revision: 812, since: AT.toISOString() } });
  check([
    {
      name: 'is told with both positions',
      a: ahead,
      want: {
        open: ['database-restored : its agent has applied revision 812 of epoch 9, this database knew 5 of epoch 1'],
      },
    },
    { name: 'once', a: ahead, open: [open('database-restored')], want: {} },
    {
      name: 'is over when the agent is no longer ahead',
      open: [open('database-restored')],
      want: { resolve: ['database-restored : its agent is no longer ahead of this database'] },
    },
    {
      name: 'lets nothing else end meanwhile',
      a: ahead,
      open: [open('database-restored'), open('document-changed')],
      observed: report(812, 60),
      want: {},
    },
  ]);
});
