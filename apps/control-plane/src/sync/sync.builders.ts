/** Builders for the specs of sync: one model, versions 1 to 4, each of one large file that differs and one that does not. */
import {
  type ArtifactFile,
  type Cluster,
  type ClusterReport,
  DEFAULT_SYNC_POLICIES,
  type HeldVersion,
  type ModelVersion,
  type Observation,
  type SyncPolicy,
  type VersionArtifact,
} from '#domain';
import type { PublishedVersion } from './plan-for-cluster.ts';
import type { Member } from './site-group.ts';

/** A Tuesday. */
export const NOW = new Date('2026-03-10T12:00:00Z');
export const MB = 1e6;

const hex = (text: string) => text.padEnd(64, '0');
/** Of version `number`. */
export const digestOf = (number: number) => hex(`d${number}`);
export const weightsOf = (number: number) => hex(`f${number}`);
export const TOKENIZER = hex('fa');

/** 100 MB that changed and 1 MB that did not. */
export function version(number: number, change: Partial<ModelVersion> = {}): ModelVersion & PublishedVersion {
  return {
    id: `v${number}`,
    tenantId: 't',
    modelId: 'm',
    number,
    phase: 'Published',
    digest: digestOf(number),
    sizeBytes: 101 * MB,
    files: [
      { path: 'model.safetensors', digest: weightsOf(number), sizeBytes: 100 * MB },
      { path: 'tokenizer.json', digest: TOKENIZER, sizeBytes: MB },
    ],
    notes: '',
    parentId: number > 1 ? `v${number - 1}` : null,
    metadata: {},
    signature: null,
    createdAt: new Date(0),
    publishedAt: new Date(0),
    ...change,
  } as ModelVersion & PublishedVersion;
}

export const VERSIONS = [1, 2, 3, 4].map((number) => version(number));

/** Makes version `to` from `base` (0: from nothing) with `blobMegabytes` on the wire. */
export function artifact(
  base: number,
  to: number,
  blobMegabytes: number,
  change: Partial<VersionArtifact> = {},
): VersionArtifact {
  const profile = change.profile ?? (base === 0 ? 'snapshot' : 'fast');
  const id = `${base}-${to}-${profile}`;
  const file: ArtifactFile = {
    digest: weightsOf(to),
    sizeBytes: 100 * MB,
    encoding: base === 0 ? 'snapshot' : 'diff',
    baseDigest: base === 0 ? null : weightsOf(base),
    blobDigest: hex(`b${base}${to}`),
    blobBytes: blobMegabytes * MB,
  };
  return {
    id,
    tenantId: 't',
    modelId: 'm',
    versionId: `v${to}`,
    baseVersionId: base === 0 ? null : `v${base}`,
    profile,
    phase: 'Ready',
    files: change.phase === undefined || change.phase === 'Ready' ? [file] : [],
    bytes: blobMegabytes * MB,
    reason: '',
    wantedAt: NOW,
    readyAt: NOW,
    usedAt: NOW,
    ...change,
  };
}

export function policy(change: Partial<SyncPolicy> = {}): SyncPolicy {
  return { ...DEFAULT_SYNC_POLICIES.edge, ...change };
}

export function cluster(name: string, change: Partial<Cluster> = {}): Cluster {
  return {
    id: `id-${name}`,
    tenantId: 't',
    name,
    kind: 'edge',
    region: '',
    zone: '',
    labels: {},
    sync: policy(),
    publicKey: '',
    phase: 'Ready',
    cordoned: false,
    drain: null,
    ahead: null,
    phaseSince: NOW,
    createdAt: NOW,
    revision: 1,
    ...change,
  };
}

export function held(number: number, change: Partial<HeldVersion> = {}): HeldVersion {
  const whole = 101 * MB;
  return { digest: digestOf(number), phase: 'Held', bytesHave: whole, bytesTotal: whole, reason: '', ...change };
}

/** A cluster with its report; `report` null: it never reported. */
export function member(
  name: string,
  report: Partial<ClusterReport> | null = {},
  change: Partial<Cluster> = {},
): Member & { readonly observation: Observation | null } {
  const of = cluster(name, change);
  if (report === null) return { cluster: of, observation: null };
  const whole: ClusterReport = {
    clusterId: of.id,
    bootId: 'boot',
    sequence: 1,
    epoch: 1,
    revision: 1,
    agentVersion: '1',
    nodes: [],
    replicas: [],
    versions: [],
    ...report,
  };
  return { cluster: of, observation: { clusterId: of.id, report: whole, replacedBoots: [], receivedAt: NOW } };
}
