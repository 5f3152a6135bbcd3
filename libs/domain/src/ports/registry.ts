/** What the model registry, rollouts and sync need of a database; see `store.ts` for the rules that all ports share. */
import type { VersionArtifact } from '../artifacts.ts';
import type { AliasMove, ModelAlias } from '../models.ts';
import type { Rollout } from '../rollouts.ts';

export abstract class AliasRows {
  abstract find(modelId: string, name: string, forUpdate?: boolean): Promise<ModelAlias | null>;
  /** By name. */
  abstract listOfModel(modelId: string): Promise<ModelAlias[]>;
  /** Makes or moves the alias and writes the move to its history; `to` null removes it. Moving it where it is changes nothing. */
  abstract move(
    alias: { tenantId: string; modelId: string; name: string },
    to: string | null,
    actor: string,
  ): Promise<void>;
  /** Newest first, at most `limit`. */
  abstract history(modelId: string, name: string, limit: number): Promise<AliasMove[]>;
}

export abstract class ArtifactRows {
  /** Inserts it as Wanted, or returns the one there is for the same version, base and profile (a Failed one is Wanted again). */
  abstract want(
    artifact: Pick<VersionArtifact, 'tenantId' | 'modelId' | 'versionId' | 'baseVersionId' | 'profile'>,
  ): Promise<VersionArtifact>;
  /** The oldest Wanted one, now Making; null when there is none. SKIP LOCKED: two makers never get the same. */
  abstract take(): Promise<VersionArtifact | null>;
  /** Making → Ready. False when it is no longer Making (its version was retired, or it was given back). */
  abstract finish(id: string, files: VersionArtifact['files']): Promise<boolean>;
  /** Making → Failed. */
  abstract fail(id: string, reason: string): Promise<void>;
  /** Making for longer than `before` → Wanted: their maker died. Returns how many. */
  abstract giveBack(before: Date): Promise<number>;
  abstract find(id: string): Promise<VersionArtifact | null>;
  /** All of a model, in no order. */
  abstract ofModel(modelId: string): Promise<VersionArtifact[]>;
  /** Sets `usedAt` to now. */
  abstract touch(ids: readonly string[]): Promise<void>;
  /** Removes those whose version or base is not Published any more, and diffs unused since `before`; returns how many. */
  abstract removeStale(before: Date): Promise<number>;
}

export abstract class RolloutRows {
  /** Throws a conflict refusal when the deployment has an active one. */
  abstract insert(rollout: Rollout): Promise<void>;
  /** Progressing and Paused ones, of one deployment or of all. */
  abstract active(deploymentId?: string): Promise<Rollout[]>;
  /** Newest first, at most `limit`. */
  abstract ofDeployment(deploymentId: string, limit: number): Promise<Rollout[]>;
  /** Changes an active rollout; false when it is over or was never there. Sets `endedAt` with a final phase. */
  abstract update(
    id: string,
    change: Partial<
      Pick<
        Rollout,
        'phase' | 'wave' | 'openClusterIds' | 'isOpenToAll' | 'isSwitched' | 'waveSince' | 'waveReadyAt' | 'reason'
      >
    >,
  ): Promise<boolean>;
}

/** Who of a group of neighbours fetches a version from the registry while the others wait for it. */
export abstract class SyncClaimRows {
  /**
   * Asks for the claim on (tenant, group, version); `holderBytes` is how much the holder is seen to have, for progress.
   * The caller gets it when nobody holds it, when it holds it already, or when the holder made no progress for
   * `stallSeconds` (by Postgres' clock). Returns who holds it now.
   */
  abstract claim(
    key: { tenantId: string; siteGroup: string; versionDigest: string },
    clusterId: string,
    seen: { holderBytes: (clusterId: string) => number },
    stallSeconds: number,
  ): Promise<string>;
  /** Gives up what the cluster holds of this version. */
  abstract release(tenantId: string, versionDigest: string, clusterId: string): Promise<void>;
  abstract removeOlderThan(before: Date): Promise<number>;
}
