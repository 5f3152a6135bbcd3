// An agent that has applied what a restored database does not know takes no document (R20). A resync numbers the next one
// above what the agent has seen, so that it takes documents again, once somebody has seen what that will stop and start.

import { Injectable } from '@nestjs/common';
import type { ResyncDto } from '#contracts';
import {
  type Attempt,
  type Cluster,
  type ClusterReport,
  type DocumentLead,
  isTaskEnded,
  type Placement,
  RefusedError,
  type Rows,
  refuse,
  Store,
  taskIdOf,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { writeDesired } from '../leader/write-desired.ts';
import { Mutations } from '../mutations/mutations.ts';
import { findCluster } from './clusters.ts';
import { namesOfDeployments } from './drain-view.ts';

type Led = Cluster & { readonly ahead: DocumentLead };

@Injectable()
export class Resyncs {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  async plan(tenantId: string, name: string): Promise<ResyncDto> {
    const { read } = this.store;
    const cluster = await findLed(read, tenantId, name);
    const { epoch, revision } = cluster.ahead;
    return describeResync(read, cluster, { epoch: epoch + 1, revision: revision + 1 });
  }

  /** The document is written in the same transaction: at no time is there one that the agent would take by mistake. */
  resync(actor: Actor, name: string): Promise<ResyncDto> {
    return this.mutations.run(actor, 'clusters.resync', async (rows) => {
      // The leader's row is locked before any cluster's, as leaders do: else each would wait for the other.
      const { ahead: seen } = await findLed(rows, actor.tenantId, name);
      const epoch = await rows.leader.epochAbove(seen.epoch);
      const cluster = await findLed(rows, actor.tenantId, name, true);
      if (cluster.ahead.epoch >= epoch)
        throw new RefusedError(refuse.conflict(`cluster "${name}" moved on; ask again`));
      const result = await describeResync(rows, cluster, { epoch, revision: cluster.ahead.revision + 1 });
      await rows.desired.raise(cluster.id, cluster.ahead.revision);
      await rows.clusters.update(cluster.id, cluster.revision, { ahead: null });
      await writeDesired(rows, epoch, [cluster.id]);
      await resolveConflict(rows, cluster, result);
      const detail = { name, reported: result.reported, known: result.known, next: result.next };
      return { result, targetKind: 'cluster', targetId: cluster.id, detail };
    });
  }
}

async function findLed(rows: Rows, tenantId: string, name: string, forUpdate = false): Promise<Led> {
  const cluster = await findCluster(rows, tenantId, name, forUpdate);
  if (cluster.ahead !== null) return cluster as Led;
  const reason = `the agent of cluster "${name}" is not ahead of this database; there is nothing to resync`;
  throw new RefusedError(refuse.conflict(reason));
}

async function resolveConflict(rows: Rows, { id }: Cluster, { next, stops, starts }: ResyncDto): Promise<void> {
  const open = (await rows.conflicts.ofCluster(id, 200)).find(
    ({ kind, resolvedAt }) => kind === 'database-restored' && resolvedAt === null,
  );
  const words = `resynced with revision ${next.revision} of epoch ${next.epoch}: ${stops.length} to stop, ${starts.length} to start`;
  if (open !== undefined) await rows.conflicts.resolve(open.id, words, await rows.clock.now());
}

async function describeResync(rows: Rows, cluster: Led, next: ResyncDto['next']): Promise<ResyncDto> {
  const { id, name, ahead } = cluster;
  const report = (await rows.observations.find(id))?.report ?? null;
  const placements = await rows.placements.live({ clusterId: id });
  const attempts = await rows.attempts.live({ clusterId: id });
  const desired = await rows.desired.position(id);
  const ids = [...placements, ...(report?.replicas ?? [])].map(({ deploymentId }) => deploymentId);
  const names = await namesOfDeployments(rows, [...new Set(ids)]);
  const { stops, starts } = differenceOf(id, report, { placements, attempts }, names);
  const change = `${stops.length} of what runs there stops, ${starts.length} starts`;
  return {
    cluster: name,
    reported: { epoch: ahead.epoch, revision: ahead.revision },
    known: { epoch: desired?.epoch ?? 0, revision: desired?.revision ?? 0 },
    ...{ next, stops, starts },
    outcome: stops.length + starts.length === 0 ? 'what runs there is what this database wants' : change,
  };
}

interface Wanted {
  readonly placements: readonly Placement[];
  readonly attempts: readonly Attempt[];
}

type Difference = Pick<ResyncDto, 'stops' | 'starts'>;

/** What the agent says that it runs against what the rows want of it. Pure. */
export function differenceOf(
  clusterId: string,
  report: Pick<ClusterReport, 'replicas' | 'tasks'> | null,
  { placements, attempts }: Wanted,
  names: ReadonlyMap<string, string>,
): Difference {
  const assigned = placements.filter(({ phase }) => phase === 'Assigned');
  const tasks = attempts.flatMap(({ id, tasks: members, stop }) =>
    members
      .filter((member) => member.clusterId === clusterId && stop === null)
      .map(({ rank }) => ({ id: taskIdOf(id, rank), what: 'a task of a job' })),
  );
  const wanted = [...assigned.map(({ id, deploymentId }) => ({ id, what: replicaOf(names, deploymentId) })), ...tasks];
  const running = [
    ...(report?.replicas ?? [])
      .filter(({ phase, isLocal }) => phase !== 'Stopped' && isLocal !== true)
      .map(({ replicaId, deploymentId }) => ({ id: replicaId, what: replicaOf(names, deploymentId) })),
    ...(report?.tasks ?? [])
      .filter(({ phase }) => !isTaskEnded(phase))
      .map(({ taskId }) => ({ id: taskId, what: 'a task of a job' })),
  ];
  const without = (list: Difference['stops'], others: Difference['stops']) => {
    const known = new Set(others.map(({ id }) => id));
    return list.filter(({ id }) => !known.has(id));
  };
  return { stops: without(running, wanted), starts: without(wanted, running) };
}

function replicaOf(names: ReadonlyMap<string, string>, deploymentId: string): string {
  const name = names.get(deploymentId);
  return name === undefined ? 'a replica of a deployment that this database does not know' : `a replica of ${name}`;
}
