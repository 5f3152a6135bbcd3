// Emptying clusters on request: said here as intent, carried out by the leader's planners (`drainStage`).

import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { ClusterDto, DrainPlanDto, drainClusterSchema } from '#contracts';
import {
  type Cluster,
  type ClusterDrain,
  DRAIN_DEADLINE_SECONDS,
  isMember,
  RefusedError,
  type Rows,
  refuse,
  Store,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { demandMatch } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { viewCluster } from './cluster-view.ts';
import { findCluster, type Target } from './clusters.ts';
import { planDrain } from './plan-drain.ts';

type Wanted = z.output<typeof drainClusterSchema>;

@Injectable()
export class Drains {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  /** Asking for the same again changes nothing, its age least of all. */
  start(actor: Actor, target: Target, wanted: Wanted): Promise<ClusterDto> {
    return this.#change(actor, 'clusters.drain', target, (cluster, now) => {
      demandMember(cluster);
      const drain = wantedDrain(cluster, wanted, actor.name, now);
      return drain === cluster.drain ? {} : { drain, ...(cluster.phase === 'Ready' ? { phase: 'Draining' } : {}) };
    });
  }

  /** What has gone stays gone; what is still there stays. */
  undo(actor: Actor, target: Target): Promise<ClusterDto> {
    return this.#change(actor, 'clusters.undrain', target, (cluster) => {
      if (cluster.drain === null) return {};
      return { drain: null, ...(cluster.phase === 'Draining' ? { phase: 'Ready' } : {}) };
    });
  }

  async plan(tenantId: string, target: Target, wanted: Wanted): Promise<DrainPlanDto> {
    const { read } = this.store;
    const cluster = await findCluster(read, tenantId, target.name);
    demandMatch(target.ifMatch, cluster);
    demandMember(cluster);
    return planDrain(read, cluster, wantedDrain(cluster, wanted, 'nobody', await read.clock.now()));
  }

  #change(
    actor: Actor,
    action: string,
    target: Target,
    decide: (cluster: Cluster, now: Date) => Partial<Pick<Cluster, 'phase' | 'drain'>>,
  ): Promise<ClusterDto> {
    return this.mutations.run(actor, action, async (rows) => {
      const cluster = await findCluster(rows, actor.tenantId, target.name, true);
      demandMatch(target.ifMatch, cluster);
      const change = decide(cluster, await rows.clock.now());
      const result = await viewCluster(rows, await changed(rows, cluster, change));
      return { result, targetKind: 'cluster', targetId: cluster.id, detail: { name: cluster.name, ...change } };
    });
  }
}

async function changed(rows: Rows, cluster: Cluster, change: Partial<Cluster>): Promise<Cluster> {
  if (Object.keys(change).length === 0) return cluster;
  await rows.clusters.update(cluster.id, cluster.revision, change);
  return (await rows.clusters.find({ id: cluster.id }))!;
}

function wantedDrain(
  { drain }: Cluster,
  { mode, deadlineSeconds }: Wanted,
  requestedBy: string,
  now: Date,
): ClusterDrain {
  const seconds = mode === 'stop' ? 0 : (deadlineSeconds ?? DRAIN_DEADLINE_SECONDS[mode]);
  if (drain?.mode === mode && drain.deadlineSeconds === seconds) return drain;
  return { mode, deadlineSeconds: seconds, since: now.toISOString(), requestedBy };
}

/** @throws RefusedError conflict before it was accepted: there is nothing to empty */
function demandMember({ name, phase }: Cluster): void {
  if (isMember(phase)) return;
  throw new RefusedError(refuse.conflict(`cluster "${name}" is ${phase}; accept it first: nothing runs there yet`));
}
