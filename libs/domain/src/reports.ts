/**
 * What a cluster says is so. The control plane believes reports and nothing else about a cluster (DESIGN §3.2).
 *
 * A report is whole: applying the newest is enough, whatever was lost. It is fenced by (epoch, bootId, sequence).
 */
import type { ReplicaPhase } from './deployments.ts';
import type { Node } from './devices.ts';
import type { NodeDevices, TaskReport } from './jobs.ts';

export interface ReplicaReport {
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
  readonly phase: ReplicaPhase;
  /** One sentence when the phase needs explaining; empty otherwise. */
  readonly reason: string;
  readonly restarts: number;
  /** Engine process id on its machine, absent when none runs. */
  readonly processId?: number;
  /** Of the agent's configuration; absent: its default. */
  readonly engine?: string;
  /** What it holds, by the centre's or by the agent's own binding. */
  readonly devices?: readonly NodeDevices[];
  /** True: the agent started it by itself (`localScaling`); it is no placement. */
  readonly isLocal?: boolean;
}

/** How a version comes here: the chosen path and how far it is. */
export interface SyncProgress {
  /** `direct-diff`, `diff-chain`, `snapshot`, `snapshot-and-diffs`, `whole-files`; `waiting` before one is chosen. */
  readonly path: string;
  /** `registry`, or the neighbour's cluster name. */
  readonly source: string;
  /** Bytes on the wire: what is transferred, not what it makes. */
  readonly wireBytesHave: number;
  readonly wireBytesTotal: number;
  /** Over the last seconds; 0 while nothing flows. */
  readonly bytesPerSecond: number;
  /** Null when it cannot be told. */
  readonly etaSeconds: number | null;
}

export interface HeldVersion {
  readonly digest: string;
  readonly phase: 'Fetching' | 'Held' | 'Failed';
  readonly bytesHave: number;
  readonly bytesTotal: number;
  /** What it waits for or why it failed; empty otherwise. */
  readonly reason: string;
  /** Only while Fetching. */
  readonly sync?: SyncProgress;
  /** RFC 3339, the agent's clock: when every byte was last hashed. Only when Held. */
  readonly verifiedAt?: string;
}

/** What the agent measured of its own transfers; absent what was never measured. */
export interface SyncMeasures {
  readonly registryBytesPerSecond?: number;
  readonly neighbourBytesPerSecond?: number;
  /** Artifact profile → bytes of result a second. */
  readonly applyBytesPerSecond: Readonly<Record<string, number>>;
  readonly diskFreeBytes: number;
}

export interface ClusterReport {
  readonly clusterId: string;
  /** New at every start of the agent. */
  readonly bootId: string;
  /** Rises by one with every report of a boot. */
  readonly sequence: number;
  /** Highest leader epoch that the agent has applied. */
  readonly epoch: number;
  /** Desired revision that the agent has applied. */
  readonly revision: number;
  readonly agentVersion: string;
  /** Where gateways can reach the agent's data plane, `host:port`; absent when only its own dialled sockets reach it. */
  readonly endpoint?: string;
  /** Where neighbours can fetch blobs, `host:port`; absent when this agent serves none. */
  readonly blobEndpoint?: string;
  readonly measures?: SyncMeasures;
  readonly nodes: readonly Node[];
  readonly replicas: readonly ReplicaReport[];
  readonly versions: readonly HeldVersion[];
  /** Those that ended too, until the desired document no longer names them. Absent from an older agent. */
  readonly tasks?: readonly TaskReport[];
}

export type ReportVerdict = 'accepted' | 'foreign' | 'older-epoch' | 'stale' | 'repeated';

/** Boots remembered as replaced; older ones can only come from messages delayed by many restarts. */
export const REPLACED_BOOTS_MAX = 8;

/**
 * Whether the control plane may take `incoming` from the cluster whose subject it came on.
 *
 * A new boot id resets the sequence. A boot that was replaced is stale up to the sequence it had reached, so that late
 * messages of a dead process change nothing; beyond it the boot lives after all: it was a late message of a dead process
 * that had replaced it, and must not shut it out for good (R8). `replacedBoots` is made by `replacedBootsAfter`.
 */
export function judgeReport(
  subjectClusterId: string,
  current: { bootId: string; sequence: number; epoch: number; replacedBoots: readonly string[] } | null,
  incoming: Pick<ClusterReport, 'clusterId' | 'bootId' | 'sequence' | 'epoch'>,
): ReportVerdict {
  if (incoming.clusterId !== subjectClusterId) return 'foreign';
  if (current === null) return 'accepted';
  if (incoming.epoch < current.epoch) return 'older-epoch';
  if (incoming.bootId !== current.bootId) {
    return incoming.sequence > reachedBy(incoming.bootId, current.replacedBoots) ? 'accepted' : 'stale';
  }
  if (incoming.sequence === current.sequence) return 'repeated';
  return incoming.sequence > current.sequence ? 'accepted' : 'stale';
}

/** What to remember once a report of `bootId` was accepted: `<boot id>/<sequence it had reached>`, the newest first. */
export function replacedBootsAfter(
  before: { bootId: string; sequence: number; replacedBoots: readonly string[] } | null,
  bootId: string,
): string[] {
  if (before === null) return [];
  if (before.bootId === bootId) return [...before.replacedBoots];
  const others = before.replacedBoots.filter((entry) => entry.split('/')[0] !== bootId);
  return [`${before.bootId}/${before.sequence}`, ...others].slice(0, REPLACED_BOOTS_MAX);
}

/** 0: never replaced. An entry without a sequence is shut out whatever comes. */
function reachedBy(bootId: string, replacedBoots: readonly string[]): number {
  const entry = replacedBoots.find((each) => each.split('/')[0] === bootId);
  if (entry === undefined) return 0;
  const [, sequence] = entry.split('/');
  return sequence === undefined ? Number.POSITIVE_INFINITY : Number(sequence);
}
