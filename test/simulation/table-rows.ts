/** The domain's row ports on `Tables`: what the SQL of libs/store means, without its locks (transactions are serial). */
import { outlineDigest, outlineOf } from '#contracts';
import {
  type AuditEntry,
  type Cluster,
  DEFAULT_TENANT_ID,
  type Decision,
  type Deployment,
  type DesiredState,
  isRolloutActive,
  type Observation,
  type PageRequest,
  type Placement,
  RefusedError,
  type Rollout,
  type Rows,
  refuse,
  StaleEpochError,
  siteGroupOf,
} from '#domain';
import { changeRows } from './change-rows.ts';
import { jobRowsOn, release } from './job-rows.ts';
import type { Tables, Topic } from './tables.ts';

export interface RowsContext {
  readonly tables: Tables;
  /** The database's clock. */
  readonly now: () => Date;
  /** What listeners will be told of after the commit. */
  readonly touched: Set<Topic>;
}

export type Async<Part> = { [Name in keyof Part]: Part[Name] };

export function rowsOn(context: RowsContext): Rows {
  const rows: Partial<Rows> = {
    clusters: clusterRows(context) as Rows['clusters'],
    revocations: revocationRows(context) as Rows['revocations'],
    models: modelRows(context) as unknown as Rows['models'],
    versions: versionRows(context) as unknown as Rows['versions'],
    deployments: deploymentRows(context) as Rows['deployments'],
    rollouts: rolloutRows(context) as Rows['rollouts'],
    placements: placementRows(context) as Rows['placements'],
    observations: observationRows(context) as Rows['observations'],
    desired: desiredRows(context) as Rows['desired'],
    outbox: outboxRows(context) as Rows['outbox'],
    audit: auditRows(context) as Rows['audit'],
    decisions: decisionRows(context) as Rows['decisions'],
    idempotency: idempotencyRows(context) as Rows['idempotency'],
    inbox: inboxRows(context) as Rows['inbox'],
    changes: changeRows(context) as Rows['changes'],
    clock: clockRows(context),
    ...jobRowsOn(context),
  };
  return rows as Rows;
}

export const byId = <Row extends { readonly id: string }>(rows: Iterable<Row>) =>
  [...rows].sort((left, right) => (left.id < right.id ? -1 : 1));
export const paged = <Row extends { readonly id: string }>(rows: Iterable<Row>, { after, limit }: PageRequest) =>
  byId(rows)
    .filter(({ id }) => after === null || id > after)
    .slice(0, limit);

function clusterRows({ tables: { clusters }, now, touched }: RowsContext): Async<Rows['clusters']> {
  const present = () => byId(clusters.values()).filter(({ phase }) => phase !== 'Left');
  return {
    insert: async (cluster) => {
      clusters.set(cluster.id, cluster);
      touched.add('intent');
    },
    find: async (by) => {
      if ('id' in by) return clusters.get(by.id) ?? null;
      if ('name' in by) return present().find(({ name }) => name === by.name) ?? null;
      return present().find(({ publicKey }) => publicKey === by.publicKey) ?? null;
    },
    findAll: async (ids) => byId(clusters.values()).filter(({ id }) => ids.includes(id)),
    lock: async (ids) => byId(clusters.values()).filter(({ id }) => ids.includes(id)),
    list: async (page) => paged(present(), page),
    update: async (id, revision, change) => {
      const before = clusters.get(id);
      if (before?.revision !== revision) return false;
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      const isMoved = change.phase !== undefined && change.phase !== before.phase;
      const phaseSince = isMoved ? now() : before.phaseSince;
      clusters.set(id, { ...before, ...given, phaseSince, revision: revision + 1 } as Cluster);
      touched.add('intent');
      return true;
    },
    all: async () => present(),
    ofSiteGroup: async (tenantId, siteGroup) =>
      present().filter((cluster) => cluster.tenantId === tenantId && siteGroupOf(cluster) === siteGroup),
  };
}

function clockRows({ tables, now }: RowsContext): Rows['clock'] {
  const at = () => new Date(now().getTime() + tables.clockAheadMs);
  return {
    read: async () => ({ at: at(), aheadMs: tables.clockAheadMs }),
    now: async () => at(),
    nowMs: async () => at().getTime(),
    keepAhead: async (epoch, aheadMs) => {
      if (epoch === tables.epoch) tables.clockAheadMs = aheadMs;
    },
  };
}

function revocationRows({ tables: { revocations } }: RowsContext): Async<Rows['revocations']> {
  return {
    insert: async (publicKey, clusterId) => {
      revocations.set(publicKey, clusterId);
    },
    all: async () => [...revocations.keys()].map((publicKey) => ({ publicKey, revokedAtSeconds: 0 })),
  };
}

function modelRows({ tables: { models } }: RowsContext): Partial<Async<Rows['models']>> {
  return {
    find: async (by) =>
      'id' in by ? (models.get(by.id) ?? null) : ([...models.values()].find(({ name }) => name === by.name) ?? null),
    findAll: async (ids) => ids.flatMap((id) => models.get(id) ?? []),
    all: async () => byId(models.values()),
  };
}

function versionRows({ tables: { versions } }: RowsContext): Partial<Async<Rows['versions']>> {
  return {
    find: async (by) =>
      'id' in by
        ? (versions.get(by.id) ?? null)
        : ([...versions.values()].find(({ modelId, number }) => modelId === by.modelId && number === by.number) ??
          null),
    findAll: async (ids) => ids.flatMap((id) => versions.get(id) ?? []),
    ofModels: async (of) => [...versions.values()].filter(({ modelId }) => of.includes(modelId)),
    listOfModel: async (of) =>
      [...versions.values()].filter(({ modelId }) => modelId === of).sort((a, b) => b.number - a.number),
  };
}

function deploymentRows({ tables, touched }: RowsContext): Async<Rows['deployments']> {
  const { deployments, placements } = tables;
  return {
    insert: async (deployment) => {
      if ([...deployments.values()].some(({ name }) => name === deployment.name)) {
        throw new RefusedError(refuse.conflict('a deployment with this name exists'));
      }
      // Ties between clusters are broken by a hash of this id: a random one would make seeds unrepeatable.
      const id = `00000000-0000-7000-a000-${nextId(tables)}`;
      deployments.set(id, { ...deployment, id });
      touched.add('intent');
    },
    find: async (by) =>
      'id' in by
        ? (deployments.get(by.id) ?? null)
        : ([...deployments.values()].find(({ name }) => name === by.name) ?? null),
    list: async (page) => paged(deployments.values(), page),
    all: async () => byId(deployments.values()),
    update: async (id, revision, change) => {
      const before = deployments.get(id);
      if (before?.revision !== revision) return false;
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      deployments.set(id, { ...before, ...given, revision: revision + 1 } as Deployment);
      touched.add('intent');
      return true;
    },
    remove: async (id) => {
      const own = [...placements.values()].filter(({ deploymentId }) => deploymentId === id);
      const live = own.filter(({ phase }) => phase !== 'Removed').length;
      if (live > 0) throw new RefusedError(refuse.conflict(`${live} replica(s) of the deployment are not removed yet`));
      for (const placement of own) placements.delete(placement.id);
      for (const rollout of [...tables.rollouts.values()]) {
        if (rollout.deploymentId === id) tables.rollouts.delete(rollout.id);
      }
      deployments.delete(id);
      touched.add('intent');
    },
  };
}

function rolloutRows({ tables, now, touched }: RowsContext): Async<Rows['rollouts']> {
  const { rollouts } = tables;
  const active = (of?: string) =>
    byId(rollouts.values()).filter(
      (rollout) => isRolloutActive(rollout) && (of === undefined || rollout.deploymentId === of),
    );
  return {
    insert: async (rollout) => {
      if (isRolloutActive(rollout) && active(rollout.deploymentId).length > 0) {
        throw new RefusedError(refuse.conflict('a rollout of this deployment is active'));
      }
      // In the order of their making, as UUIDv7 are; a random one would make seeds unrepeatable.
      const id = `00000000-0000-7000-b000-${nextId(tables)}`;
      rollouts.set(id, { ...rollout, id });
      touched.add('intent');
    },
    active: async (of) => active(of),
    ofDeployment: async (of, limit) =>
      byId(rollouts.values())
        .filter(({ deploymentId }) => deploymentId === of)
        .reverse()
        .slice(0, limit),
    update: async (id, change) => {
      const before = rollouts.get(id);
      if (before === undefined || !isRolloutActive(before)) return false;
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      const after = { ...before, ...given } as Rollout;
      rollouts.set(id, { ...after, endedAt: isRolloutActive(after) ? null : now() });
      touched.add('intent');
      return true;
    },
  };
}

function placementRows({ tables: { placements, deviceHolds }, now, touched }: RowsContext): Async<Rows['placements']> {
  return {
    insert: async (given) => {
      for (const placement of given) placements.set(placement.id, placement);
      if (given.length > 0) touched.add('intent');
    },
    move: async (ids, phase, reason) => {
      for (const id of ids) {
        const before = placements.get(id);
        if (before === undefined || before.phase === 'Removed') continue;
        const phaseSince = before.phase === phase ? before.phaseSince : now();
        placements.set(id, { ...before, phase, reason, phaseSince } as Placement);
        if (phase === 'Removed') release(deviceHolds, [id]);
        touched.add('intent');
      }
    },
    live: async (by) =>
      byId(placements.values()).filter(({ phase, clusterId, deploymentId }) => {
        if (phase === 'Removed') return false;
        if (by === undefined) return true;
        return 'clusterId' in by ? clusterId === by.clusterId : deploymentId === by.deploymentId;
      }),
  };
}

function observationRows({ tables, now, touched }: RowsContext): Async<Rows['observations']> {
  const { clusters, observations } = tables;
  const contentOf = (observation: Observation | undefined) =>
    JSON.stringify({
      ...observation?.report,
      sequence: undefined,
      tasks: observation?.report.tasks?.map((task) => ({ ...task, ranSeconds: undefined, progress: undefined })),
    });
  return {
    find: async (clusterId) => observations.get(clusterId) ?? null,
    upsert: async (given) => {
      const observation = { receivedAt: new Date(now().getTime() + tables.clockAheadMs), ...given };
      const before = observations.get(observation.clusterId);
      if (contentOf(before) !== contentOf(observation)) touched.add('observation');
      observations.set(observation.clusterId, observation);
    },
    findAll: async (clusterIds) => [...observations.values()].filter(({ clusterId }) => clusterIds.includes(clusterId)),
    receivedAt: async (clusterIds) =>
      new Map(
        [...observations.values()]
          .filter(({ clusterId }) => clusterIds.includes(clusterId))
          .map(({ clusterId, receivedAt }) => [clusterId, receivedAt]),
      ),
    all: async () => [...observations.values()].filter(({ clusterId }) => clusters.get(clusterId)?.phase !== 'Left'),
  };
}

function desiredRows({ tables: { desired } }: RowsContext): Async<Rows['desired']> {
  return {
    find: async (clusterId) => desired.get(clusterId) ?? null,
    position: async (clusterId) => {
      const state = desired.get(clusterId);
      if (state === undefined) return null;
      const { epoch, revision } = state;
      return { clusterId, epoch, revision, digest: outlineDigest(state, outlineOf(state)) };
    },
    keepOutline: async () => undefined,
    revisions: async () =>
      [...desired.values()].map(({ clusterId, epoch, revision }) => ({ clusterId, epoch, revision })),
    put: async (clusterId, epoch, { versions, replicas, tasks }) => {
      const before = desired.get(clusterId);
      const isSame =
        before !== undefined &&
        JSON.stringify([before.versions, before.replicas, before.tasks]) ===
          JSON.stringify([versions, replicas, tasks]);
      if (isSame) return { state: before, changed: false };
      if (before !== undefined && before.epoch > epoch) throw new StaleEpochError(epoch, before.epoch);
      const revision = (before?.revision ?? 0) + 1;
      const state: DesiredState = { clusterId, epoch, revision, versions, replicas, tasks };
      desired.set(clusterId, state);
      return { state, changed: true };
    },
    raise: async () => {
      throw new Error('nobody restores the simulated database from a backup');
    },
  };
}

function outboxRows({ tables, touched }: RowsContext): Async<Rows['outbox']> {
  const { outbox } = tables;
  return {
    add: async (subject, body) => {
      const id = nextId(tables);
      outbox.set(id, { id, subject, body });
      touched.add('outbox');
    },
    take: async (limit) => byId(outbox.values()).slice(0, limit),
    done: async (ids) => {
      for (const id of ids) outbox.delete(id);
    },
    pending: async () => outbox.size,
  };
}

function auditRows({ tables, now }: RowsContext): Async<Rows['audit']> {
  return {
    add: async (entry) => {
      const id = nextId(tables);
      tables.audit.set(id, { ...entry, id, at: now() } as AuditEntry);
    },
    list: async (page) => paged(tables.audit.values(), page),
  };
}

function decisionRows({ tables: { decisions } }: RowsContext): Async<Rows['decisions']> {
  const put = (decision: Decision) => {
    decisions.delete(decision.subjectId);
    decisions.set(decision.subjectId, decision);
  };
  return {
    insert: async (decision) => put(decision),
    insertAll: async (given) => given.forEach(put),
    newest: async (subjectId) => [...decisions.values()].filter((decision) => decision.subjectId === subjectId),
    newestOf: async (subjectIds) => subjectIds.flatMap((id) => decisions.get(id) ?? []),
  };
}

function idempotencyRows({ tables: { idempotency } }: RowsContext): Async<Rows['idempotency']> {
  return {
    begin: async (_tenantId, key, requestHash) => {
      const stored = idempotency.get(key);
      if (stored !== undefined && stored !== null) return stored;
      idempotency.set(key, { requestHash, status: 0, body: null });
      return null;
    },
    finish: async (_tenantId, key, status, body) => {
      idempotency.set(key, { ...idempotency.get(key)!, status, body });
    },
    removeOlderThan: async () => 0,
  };
}

function inboxRows({ tables: { inbox } }: RowsContext): Async<Rows['inbox']> {
  return {
    accept: async (messageId) => {
      if (inbox.has(messageId)) return false;
      inbox.add(messageId);
      return true;
    },
    removeOlderThan: async () => 0,
  };
}

export function nextId(tables: Tables): string {
  tables.sequence += 1;
  return String(tables.sequence).padStart(12, '0');
}

export const TENANT = DEFAULT_TENANT_ID;
