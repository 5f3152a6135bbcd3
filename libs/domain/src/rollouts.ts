/**
 * A rollout brings a deployment from one version to another in waves, watches the new version against the old one, and
 * takes everything back when it is worse. The deployment's `versionId` is the goal; the rollout says which clusters may
 * go there already. Without an active rollout every cluster may.
 */
import type { Labels } from './names.ts';

/** Exactly one of `clusterNames`, `labels`, `percent` is given. */
export interface RolloutWave {
  readonly clusterNames?: readonly string[];
  readonly labels?: Labels;
  /**
   * Of the clusters that hold replicas of the deployment and are not given up, rounded up, those of earlier waves counted.
   * 1..100.
   */
  readonly percent?: number;
  /** Seconds that the wave must serve before the next opens. Default 0. */
  readonly soakSeconds: number;
  /** True: the next wave opens only when someone resumes the rollout. */
  readonly pauseAfter: boolean;
}

/** When a rollout takes itself back. Compared over requests begun since the rollout's first new replica served. */
export interface RolloutAbortRule {
  /** Share of failed answers of the new version above the old one's. Default 0.05. */
  readonly errorRateAbove: number;
  /** Median time to the first byte of the new version, as a multiple of the old one's. Default 3. */
  readonly firstByteRatioAbove: number;
  /** Fewer requests to the new version prove nothing. Default 20. */
  readonly requestsMin: number;
  /** Failed starts or probes of one new replica. Default 3. */
  readonly failedStarts: number;
}

/** rolling: old and new serve side by side; strict: new replicas take traffic only once all are ready, then at once. */
export const CONSISTENCIES = ['rolling', 'strict'] as const;
export type Consistency = (typeof CONSISTENCIES)[number];

export interface RolloutPolicy {
  /** At least one; the last one is always extended to every cluster. */
  readonly waves: readonly RolloutWave[];
  /** Null: never by itself. */
  readonly abort: RolloutAbortRule | null;
  readonly consistency: Consistency;
}

export const DEFAULT_ABORT_RULE: RolloutAbortRule = {
  errorRateAbove: 0.05,
  firstByteRatioAbove: 3,
  requestsMin: 20,
  failedStarts: 3,
};

/** Everywhere at once, one replica at a time as surge allows, with the default abort rule. */
export const DEFAULT_ROLLOUT_POLICY: RolloutPolicy = {
  waves: [{ percent: 100, soakSeconds: 0, pauseAfter: false }],
  abort: DEFAULT_ABORT_RULE,
  consistency: 'rolling',
};

/** Progressing ⇄ Paused → Completed | Aborted | RolledBack | Superseded. The last four are final. */
export const ROLLOUT_PHASES = ['Progressing', 'Paused', 'Completed', 'Aborted', 'RolledBack', 'Superseded'] as const;
export type RolloutPhase = (typeof ROLLOUT_PHASES)[number];

export interface Rollout {
  readonly id: string;
  readonly tenantId: string;
  readonly deploymentId: string;
  readonly fromVersionId: string;
  readonly toVersionId: string;
  /** The deployment's policy when it began. */
  readonly policy: RolloutPolicy;
  readonly phase: RolloutPhase;
  /** Index of the newest open wave; -1 before the first. */
  readonly wave: number;
  /** Clusters that may run the new version; all of them once the last wave is open. */
  readonly openClusterIds: readonly string[];
  /** True once the last wave is open. */
  readonly isOpenToAll: boolean;
  /** Strict only: true once the new version takes all traffic. */
  readonly isSwitched: boolean;
  /** When the newest wave opened. */
  readonly waveSince: Date;
  /** When every replica of the newest wave served; null before. */
  readonly waveReadyAt: Date | null;
  /** One sentence: what it waits for, or why it ended. */
  readonly reason: string;
  readonly startedAt: Date;
  readonly endedAt: Date | null;
}

export function isRolloutActive({ phase }: Pick<Rollout, 'phase'>): boolean {
  return phase === 'Progressing' || phase === 'Paused';
}

/** The version that a cluster should run for a deployment: the goal, or the one before where no wave has come yet. */
export function versionForCluster(
  goalVersionId: string,
  rollout: Pick<Rollout, 'fromVersionId' | 'toVersionId' | 'openClusterIds' | 'isOpenToAll'> | undefined,
  clusterId: string,
): string {
  if (rollout === undefined || rollout.toVersionId !== goalVersionId || rollout.isOpenToAll) return goalVersionId;
  return rollout.openClusterIds.includes(clusterId) ? goalVersionId : rollout.fromVersionId;
}

/** Answers of one version of a deployment, as gateways counted them. Counts only ever rise within a gateway's life. */
export interface VersionOutcomes {
  readonly requests: number;
  /** 5xx answers, broken streams and failed attempts; not what the client did wrong. */
  readonly failures: number;
  /** Requests whose first byte came within FIRST_BYTE_BOUNDS_MS[i], not cumulative; one more entry counts the slower ones. */
  readonly firstByteCounts: readonly number[];
}

export const FIRST_BYTE_BOUNDS_MS = [10, 25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400] as const;
