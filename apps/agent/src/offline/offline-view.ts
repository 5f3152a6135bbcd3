// A bundle, indexed for requests: keys by their public id, deployments by tenant and served name. Immutable.
import type { AdapterReference, BundleBudget, BundleDeployment, BundleKey, OfflineBundle } from '#domain';
import { mayUseModel, type ServedModel } from '#inference';

/** A key as the authenticator wants it. */
export interface OfflineKey extends BundleKey {
  readonly secretHash: string | null;
}

export interface OfflineRoute {
  readonly deployment: BundleDeployment;
  /** Set when the served name is that of an adapter. */
  readonly adapter: AdapterReference | null;
}

export class OfflineView {
  readonly bundle: OfflineBundle;
  readonly pepper: Buffer;
  readonly #keys: ReadonlyMap<string, OfflineKey>;
  readonly #budgets: ReadonlyMap<string, BundleBudget>;
  /** Tenant → served name → routes. */
  readonly #served = new Map<string, Map<string, OfflineRoute[]>>();

  constructor(bundle: OfflineBundle) {
    this.bundle = bundle;
    this.pepper = Buffer.from(bundle.keyPepper, 'base64url');
    this.#keys = new Map(bundle.keys.map((key) => [key.publicId, { ...key, secretHash: key.offlineHash }]));
    this.#budgets = new Map(bundle.budgets.map((budget) => [budget.budgetId, budget]));
    for (const deployment of bundle.deployments) {
      this.#add(deployment.servedModel, { deployment, adapter: null });
      for (const adapter of deployment.adapters) this.#add(adapter.name, { deployment, adapter });
    }
  }

  key(publicId: string): OfflineKey | undefined {
    return this.#keys.get(publicId);
  }

  budget(budgetId: string): BundleBudget | undefined {
    return this.#budgets.get(budgetId);
  }

  /** Empty when the key may not name it, or nothing here serves it. */
  routes(key: OfflineKey, servedModel: string): readonly OfflineRoute[] {
    if (!mayUseModel(key, servedModel)) return [];
    return this.#served.get(key.tenantId)?.get(servedModel) ?? [];
  }

  /** Served names that this key may use, in name order, each with its oldest deployment's creation time. */
  modelsFor(key: OfflineKey): ServedModel[] {
    return [...(this.#served.get(key.tenantId) ?? [])]
      .filter(([model]) => mayUseModel(key, model))
      .map(([id, routes]) => ({
        id,
        createdAtSeconds: Math.min(...routes.map(({ deployment }) => deployment.createdAtSeconds)),
      }))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  #add(servedModel: string, route: OfflineRoute): void {
    const { tenantId } = route.deployment;
    const models = this.#served.get(tenantId) ?? new Map<string, OfflineRoute[]>();
    this.#served.set(tenantId, models);
    models.set(servedModel, [...(models.get(servedModel) ?? []), route]);
  }
}
