/**
 * What one cluster should hold and serve, built from its live placements, from what it mirrors (`mirror.ts`) and from what
 * its tasks mount (`desired-tasks.ts`): the same rows give the same content, and only a changed content becomes a new
 * revision.
 */
import {
  DEFAULT_ROUTING_POLICY,
  type Deployment,
  type DesiredReplica,
  type DesiredVersion,
  type Model,
  type ModelVersion,
  type Placement,
  type RoutingPolicy,
} from '#domain';

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
  const assigned = inOrder.filter(({ phase }) => phase === 'Assigned');
  const needed = assigned.flatMap(({ versionId, deploymentId }) => {
    const { adapters } = found(deployments, deploymentId, 'deployment').serving;
    return [versionId, ...adapters.map((adapter) => adapter.versionId)];
  });
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
        ...servingOf(deployment, versions),
      };
    }),
  };
}

/** Only what is not as ever: a deployment that says nothing of it has the document that it had before this could be said. */
function servingOf(
  { serving }: Deployment,
  versions: ReadonlyMap<string, ModelVersion>,
): Pick<DesiredReplica, 'engine' | 'routing' | 'localScaling' | 'nodes' | 'adapters'> {
  const { engine, routing, localScaling, nodes } = serving;
  const hasNodes = Object.keys(nodes.required).length + Object.keys(nodes.preferred).length > 0;
  const adapters = serving.adapters.map(({ name, versionId }) => ({
    name,
    versionDigest: digestOf(found(versions, versionId, 'version')),
  }));
  return {
    ...(engine === null ? {} : { engine }),
    ...(isDefault(routing) ? {} : { routing }),
    ...(localScaling === null ? {} : { localScaling }),
    ...(hasNodes ? { nodes } : {}),
    ...(adapters.length === 0 ? {} : { adapters }),
  };
}

function isDefault(routing: RoutingPolicy): boolean {
  const keys = Object.keys(DEFAULT_ROUTING_POLICY) as (keyof RoutingPolicy)[];
  return keys.every((key) => routing[key] === DEFAULT_ROUTING_POLICY[key]);
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
