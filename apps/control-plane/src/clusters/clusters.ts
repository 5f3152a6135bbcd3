// What operators do to clusters: accept, cordon, label, remove.

import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { ClusterDto, updateClusterSchema } from '#contracts';
import { type Cluster, mayMove, nextPhases, RefusedError, type Rows, refuse, Store, type SyncPolicy } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { AccountClaimsPusher } from '../federation/account-claims-pusher.ts';
import { chargePlacements } from '../leader/charge-placements.ts';
import { cronProblem } from '../models/cron.ts';
import { demandMatch } from '../mutations/headers.ts';
import { type Deed, Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { viewCluster } from './cluster-view.ts';

export interface Target {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

@Injectable()
export class Clusters {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly claims: AccountClaimsPusher,
  ) {}

  async list(tenantId: string, query: PageQuery): Promise<Page<ClusterDto>> {
    const { read } = this.store;
    const page = await readPage(tenantId, query, (request) => read.clusters.list(request));
    return { ...page, items: await Promise.all(page.items.map((cluster) => viewCluster(read, cluster))) };
  }

  async get(tenantId: string, name: string): Promise<ClusterDto> {
    return viewCluster(this.store.read, await findCluster(this.store.read, tenantId, name));
  }

  accept(actor: Actor, target: Target): Promise<ClusterDto> {
    return this.#change(actor, 'clusters.accept', target, (cluster) => {
      if (cluster.phase !== 'PendingApproval') {
        const reason = `cluster "${cluster.name}" is ${cluster.phase}; only one that is PendingApproval can be accepted`;
        throw new RefusedError(refuse.conflict(reason));
      }
      return { phase: 'Ready' };
    });
  }

  update(actor: Actor, target: Target, change: z.output<typeof updateClusterSchema>): Promise<ClusterDto> {
    return this.#change(actor, 'clusters.update', target, ({ sync: before }) => {
      const { sync, ...rest } = change;
      return sync === undefined ? rest : { ...rest, sync: mergedPolicy(before, sync) };
    });
  }

  /** Its key is revoked, its placements end, its name is free again. NATS is told as soon as it is committed. */
  async remove(actor: Actor, target: Target): Promise<void> {
    await this.mutations.run(actor, 'clusters.remove', (rows) => removeOne(rows, actor.tenantId, target));
    void this.claims.request();
  }

  #change(
    actor: Actor,
    action: string,
    target: Target,
    decide: (cluster: Cluster) => Partial<Pick<Cluster, 'phase' | 'cordoned' | 'labels' | 'sync'>>,
  ): Promise<ClusterDto> {
    return this.mutations.run(actor, action, async (rows) => {
      const cluster = await findCluster(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, cluster);
      const change = decide(cluster);
      await rows.clusters.update(cluster.id, cluster.revision, change);
      const changed = await rows.clusters.find({ id: cluster.id });
      return {
        result: await viewCluster(rows, changed!),
        targetKind: 'cluster',
        targetId: cluster.id,
        detail: { name: cluster.name, ...change },
      };
    });
  }
}

/** What is left out stays. @throws RefusedError invalid for a cron that can never fire */
function mergedPolicy(before: SyncPolicy, change: Partial<SyncPolicy>): SyncPolicy {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const policy: SyncPolicy = { ...before, ...Object.fromEntries(given) };
  const problem = cronProblem(policy.cron, policy.timeZone);
  if (problem !== null) throw new RefusedError(refuse.invalid('sync.cron', problem));
  return policy;
}

async function removeOne(rows: Rows, tenantId: string, target: Target): Promise<Deed<void>> {
  const cluster = await findCluster(rows, tenantId, target.name, true);
  demandMatch(target.ifMatch, cluster);
  if (!mayMove(cluster.phase, 'Left')) {
    const next = nextPhases(cluster.phase).join(', ') || 'nothing';
    throw new RefusedError(refuse.conflict(`a cluster that is ${cluster.phase} can become ${next} only`));
  }
  await rows.clusters.update(cluster.id, cluster.revision, { phase: 'Left' });
  await rows.revocations.insert(cluster.publicKey, cluster.id);
  const placements = await rows.placements.live({ clusterId: cluster.id });
  const ids = placements.map(({ id }) => id);
  if (ids.length > 0) await rows.placements.move(ids, 'Removed', `cluster "${cluster.name}" was removed`);
  await chargePlacements(rows, placements);
  const detail = { name: cluster.name, publicKey: cluster.publicKey, placements: ids.length };
  return { result: undefined, targetKind: 'cluster', targetId: cluster.id, detail };
}

/** @throws RefusedError not-found */
export async function findCluster(rows: Rows, tenantId: string, name: string, forUpdate = false): Promise<Cluster> {
  const cluster = await rows.clusters.find({ tenantId, name }, forUpdate);
  if (cluster === null) throw new RefusedError(refuse.notFound('cluster', name));
  return cluster;
}
