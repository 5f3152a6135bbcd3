/**
 * What one cluster should hold and serve, built from its live placements, from what it mirrors (`mirror.ts`) and from what
 * its tasks mount (`desired-tasks.ts`): the same rows give the same content, and only a changed content becomes a new
 * revision.
 */
import type { Deployment, DesiredReplica, DesiredVersion, Model, ModelVersion, Placement } from '#domain';

export interface DesiredContent {
  readonly versions: readonly DesiredVersion[];
  readonly replicas: readonly DesiredReplica[];
}

/**
 * @param placements the cluster's placements that are not Removed
 * @param versions, models, deployments by id; a placement whose version or deployment is missing or not published is an
 *   error in the rows, and throws
 * @param besides ids of published versions to hold besides those that placements need: mirrored, mounted
 */
export function desiredContentOf(
  placements: readonly Placement[],
  versions: ReadonlyMap<string, ModelVersion>,
  models: ReadonlyMap<string, Model>,
  deployments: ReadonlyMap<string, Deployment>,
  besides: readonly string[] = [],
): DesiredContent {
  const inOrder = [...placements].sort((left, right) => (left.id < right.id ? -1 : 1));
  // A version that only draining replicas use need not be fetched: agents keep what is in use.
  const needed = inOrder.filter(({ phase }) => phase === 'Assigned').map(({ versionId }) => versionId);
  const wanted = new Set([...needed, ...besides]);
  return {
    versions: [...wanted].sort().map((versionId) => {
      const version = found(versions, versionId, 'version');
      const { number, files, signature } = version;
      return {
        versionId,
        modelName: found(models, version.modelId, 'model').name,
        number,
        digest: digestOf(version),
        files,
        ...(signature === null ? {} : { signature }),
      };
    }),
    replicas: inOrder.map((placement) => {
      const deployment = found(deployments, placement.deploymentId, 'deployment');
      return {
        replicaId: placement.id,
        deploymentId: deployment.id,
        deploymentName: deployment.name,
        servedModel: deployment.servedModel,
        versionDigest: digestOf(found(versions, placement.versionId, 'version')),
        claim: placement.claim,
        epoch: placement.epoch,
        draining: placement.phase === 'Draining',
        ...(placement.devices === null ? {} : { devices: placement.devices }),
      };
    }),
  };
}

function found<Row>(rows: ReadonlyMap<string, Row>, id: string, what: string): Row {
  const row = rows.get(id);
  if (row === undefined) throw new Error(`a placement names ${what} ${id}, which does not exist`);
  return row;
}

function digestOf({ id, digest }: ModelVersion): string {
  if (digest === null) throw new Error(`a placement names version ${id}, which is not published`);
  return digest;
}
