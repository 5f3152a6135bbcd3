/**
 * The routes view, indexed for the hot path. Immutable: a new view is a new table, swapped in one assignment.
 */
import type { RouteCluster, RouteDeployment, RouteKey, RoutesView } from '#domain';

export class RouteTable {
  readonly clusters: ReadonlyMap<string, RouteCluster>;
  readonly replicaIds: ReadonlySet<string>;
  private readonly keys: ReadonlyMap<string, RouteKey>;
  /** Tenant → served model or adapter → deployments. */
  private readonly served: ReadonlyMap<string, ReadonlyMap<string, readonly RouteDeployment[]>>;

  constructor(readonly view: RoutesView) {
    this.keys = new Map(view.keys.map((key) => [key.publicId, key]));
    this.clusters = new Map(view.clusters.map((cluster) => [cluster.id, cluster]));
    this.replicaIds = new Set(
      view.deployments.flatMap((deployment) => deployment.replicas.map((replica) => replica.replicaId)),
    );
    const served = new Map<string, Map<string, RouteDeployment[]>>();
    for (const deployment of view.deployments) {
      const models = served.get(deployment.tenantId) ?? new Map<string, RouteDeployment[]>();
      for (const name of new Set([deployment.servedModel, ...(deployment.adapters ?? [])]))
        models.set(name, [...(models.get(name) ?? []), deployment]);
      served.set(deployment.tenantId, models);
    }
    this.served = served;
  }

  key(publicId: string): RouteKey | undefined {
    return this.keys.get(publicId);
  }

  deployments(tenantId: string, servedModel: string): readonly RouteDeployment[] {
    return this.served.get(tenantId)?.get(servedModel) ?? [];
  }

  /** Served models and adapters that this key may name, in name order, each with the oldest deployment's creation time. */
  modelsFor(key: RouteKey): { id: string; createdAtSeconds: number }[] {
    return [...(this.served.get(key.tenantId) ?? [])]
      .filter(([model]) => key.models === null || key.models.includes(model))
      .map(([id, deployments]) => ({
        id,
        createdAtSeconds: Math.min(...deployments.map((one) => one.createdAtSeconds)),
      }))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
  }
}
