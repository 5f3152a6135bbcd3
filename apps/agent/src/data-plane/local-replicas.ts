// A local request → the replicas that can answer it, all of one deployment and one version; or why there are none.
import { modelNotFound, type OpenAiError, openAiError, versionNotAvailable } from '#inference';
import type { Replica } from '../engines/replica.ts';
import type { OfflineKey, OfflineRoute, OfflineView } from '../offline/offline-view.ts';
import type { ReplicaRouter } from './replica-router.ts';

export interface LocalWish {
  readonly key: OfflineKey;
  readonly view: OfflineView;
  readonly model: string;
  /** 0: any version will do. */
  readonly versionNumberMin: number;
}

export interface LocalReplicas {
  readonly route: OfflineRoute;
  /** At least one. */
  readonly replicas: readonly Replica[];
}

/** `tried`: replicas that this request has tried already. */
export function findReplicas(
  wish: LocalWish,
  router: Pick<ReplicaRouter, 'standIns'>,
  versionNumberOf: (versionDigest: string) => number,
  tried: ReadonlySet<string> = new Set(),
): LocalReplicas | OpenAiError {
  const { view, key, model, versionNumberMin } = wish;
  const routes = view.routes(key, model);
  if (routes.length === 0) {
    const available = view.modelsFor(key).map(({ id }) => id);
    return modelNotFound(model, available);
  }
  const numberOf = (route: OfflineRoute, digest: string) =>
    digest === route.deployment.versionDigest ? route.deployment.versionNumber : versionNumberOf(digest);
  let newest = 0;
  for (const route of routes) {
    const ready = router.standIns(route.deployment.deploymentId).filter(({ replicaId }) => !tried.has(replicaId));
    for (const { versionDigest } of ready) newest = Math.max(newest, numberOf(route, versionDigest));
    const fitting = ready.filter(({ versionDigest }) => numberOf(route, versionDigest) >= versionNumberMin);
    if (fitting.length > 0) return { route, replicas: ofOneVersion(route, fitting) };
  }
  if (versionNumberMin > 0) return versionNotAvailable(model, versionNumberMin, newest, '');
  return openAiError('no_ready_replica', { message: `No replica of '${model}' in this cluster can answer now.` });
}

/** That of the bundle when it serves, else that of the first: in the middle of a rollout either may. */
function ofOneVersion({ deployment }: OfflineRoute, replicas: readonly Replica[]): Replica[] {
  const wanted = replicas.some(({ versionDigest }) => versionDigest === deployment.versionDigest)
    ? deployment.versionDigest
    : replicas[0]!.versionDigest;
  return replicas.filter(({ versionDigest }) => versionDigest === wanted);
}
