/** The row ports of jobs, queues and tenants on `Tables`; see `table-rows.ts`. */
import {
  type Attempt,
  EVENTS_PER_JOB_MAX,
  isFinal,
  type Job,
  type NodeDevices,
  type QueueHold,
  RefusedError,
  type Rows,
  refuse,
} from '#domain';
import { type Async, byId, nextId, paged, type RowsContext } from './table-rows.ts';
import type { DeviceHold, Tables } from './tables.ts';

type JobTables =
  | 'tenants'
  | 'queues'
  | 'priorityClasses'
  | 'jobs'
  | 'attempts'
  | 'deviceHolds'
  | 'jobEvents'
  | 'usage'
  | 'owedDocuments';

export function jobRowsOn(context: RowsContext): Pick<Rows, JobTables> {
  return {
    tenants: tenantRows(context) as Rows['tenants'],
    queues: queueRows(context) as Rows['queues'],
    priorityClasses: priorityClassRows(context) as Rows['priorityClasses'],
    jobs: jobRows(context) as Rows['jobs'],
    attempts: attemptRows(context) as Rows['attempts'],
    deviceHolds: deviceHoldRows(context) as Rows['deviceHolds'],
    jobEvents: jobEventRows(context) as Rows['jobEvents'],
    usage: usageRows(context) as Rows['usage'],
    owedDocuments: owedDocumentRows(context) as Rows['owedDocuments'],
  };
}

const given = <Change extends object>(change: Change) =>
  Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as Change;

const newestFirst = <Row extends { readonly id: string }>(
  rows: Iterable<Row>,
  { after, limit }: { after: string | null; limit: number },
) =>
  byId(rows)
    .filter(({ id }) => after === null || id < after)
    .reverse()
    .slice(0, limit);

function tenantRows({ tables: { tenants } }: RowsContext): Async<Rows['tenants']> {
  return {
    insert: async (tenant) => void tenants.set(tenant.id, tenant),
    find: async (by) =>
      [...tenants.values()].find(({ id, name }) => ('id' in by ? id === by.id : name === by.name)) ?? null,
    list: async ({ after, limit }) => paged(tenants.values(), { tenantId: '', after, limit }),
    all: async () => byId(tenants.values()),
    holdings: async () => [],
    remove: async (id) => void tenants.delete(id),
  };
}

function queueRows({ tables, touched }: RowsContext): Async<Rows['queues']> {
  const { queues, jobs, deployments } = tables;
  return {
    insert: async (queue) => {
      queues.set(queue.id, queue);
      touched.add('intent');
    },
    find: async (by) =>
      'id' in by
        ? (queues.get(by.id) ?? null)
        : ([...queues.values()].find(({ tenantId, name }) => tenantId === by.tenantId && name === by.name) ?? null),
    list: async (page) => paged(queues.values(), page),
    all: async () => byId(queues.values()),
    update: async (id, revision, change) => {
      const before = queues.get(id);
      if (before?.revision !== revision) return false;
      queues.set(id, { ...before, ...given(change), revision: revision + 1 });
      touched.add('intent');
      return true;
    },
    remove: async (id) => {
      const users = [...jobs.values(), ...deployments.values()].filter(({ queueId }) => queueId === id);
      const below = [...queues.values()].filter(({ parentId }) => parentId === id);
      if (users.length + below.length > 0) throw new RefusedError(refuse.conflict('the queue is used'));
      queues.delete(id);
      touched.add('intent');
    },
    removed: async () => [],
  };
}

function priorityClassRows({ tables: { priorityClasses }, touched }: RowsContext): Async<Rows['priorityClasses']> {
  return {
    insert: async (priorityClass) => {
      priorityClasses.set(priorityClass.id, priorityClass);
      touched.add('intent');
    },
    find: async (by) =>
      [...priorityClasses.values()].find(({ tenantId, name }) => tenantId === by.tenantId && name === by.name) ?? null,
    list: async (page) => paged(priorityClasses.values(), page),
    update: async (id, revision, change) => {
      const before = priorityClasses.get(id);
      if (before?.revision !== revision) return false;
      priorityClasses.set(id, { ...before, ...given(change), revision: revision + 1 });
      touched.add('intent');
      return true;
    },
    remove: async (id) => {
      if (priorityClasses.delete(id)) touched.add('intent');
    },
  };
}

function jobRows({ tables, now, touched }: RowsContext): Async<Rows['jobs']> {
  const { jobs, jobBlobs } = tables;
  const found = (ids: readonly string[]) => byId(ids.flatMap((id) => jobs.get(id) ?? []));
  const active = () => byId(jobs.values()).filter(({ phase }) => !isFinal(phase));
  return {
    insert: async (rows) => {
      for (const job of rows) {
        if ([...jobs.values()].some(({ tenantId, name }) => tenantId === job.tenantId && name === job.name)) {
          throw new RefusedError(refuse.conflict('a job with this name exists'));
        }
        jobs.set(job.id, job);
        touched.add('intent');
      }
    },
    find: async (by) =>
      'id' in by
        ? (jobs.get(by.id) ?? null)
        : ([...jobs.values()].find(({ tenantId, name }) => tenantId === by.tenantId && name === by.name) ?? null),
    list: async ({ queueId, phases, ...page }) =>
      newestFirst(jobs.values(), { ...page, limit: jobs.size })
        .filter((job) => job.tenantId === page.tenantId && (queueId === undefined || job.queueId === queueId))
        .filter(({ phase }) => phases === undefined || phases.includes(phase))
        .slice(0, page.limit),
    findAll: async (ids) => found(ids),
    active: async () => active(),
    dependents: async (jobId, limit) =>
      active()
        .filter(({ dependsOn }) => dependsOn.some((each) => each.jobId === jobId))
        .map(({ name }) => name)
        .slice(0, limit),
    nominated: async () => active().filter(({ nomination }) => nomination !== null),
    tally: async (of) => {
      const own = active().filter(({ tenantId }) => tenantId === of);
      return [...Map.groupBy(own, ({ queueId, phase }) => `${queueId}/${phase}`).values()].map((alike) => {
        return { queueId: alike[0]!.queueId, phase: alike[0]!.phase, count: alike.length };
      });
    },
    pending: async (of, limit) =>
      active()
        .filter(({ queueId, phase }) => queueId === of && (phase === 'Queued' || phase === 'Waiting'))
        .sort(bySoonest)
        .slice(0, limit),
    lock: async (ids) => found(ids),
    lockHeads: async (ids) => found(ids),
    update: async (changes) => changes.filter((each) => !updateJob(tables, each, now())).map(({ id }) => id),
    expired: async (at, limit) => {
      const waitedFor = new Set(active().flatMap(({ dependsOn }) => dependsOn.map(({ jobId }) => jobId)));
      return [...jobs.values()]
        .filter((job) => isFinal(job.phase) && !waitedFor.has(job.id) && expiresAtMs(job) <= at.getTime())
        .sort((left, right) => expiresAtMs(left) - expiresAtMs(right) || (left.id < right.id ? -1 : 1))
        .slice(0, limit)
        .map(({ id }) => id);
    },
    remove: async (ids) => {
      for (const { id } of found(ids).filter(({ phase }) => isFinal(phase))) {
        removeJob(tables, id);
        touched.add('intent');
      }
    },
    noteBlobs: async (noted) => {
      for (const { jobId, digests } of noted) {
        if (jobs.has(jobId)) jobBlobs.set(jobId, new Set([...(jobBlobs.get(jobId) ?? []), ...digests]));
      }
    },
    dropBlobs: async (kept) => {
      for (const { jobId, digests } of kept) {
        jobBlobs.set(jobId, new Set([...(jobBlobs.get(jobId) ?? [])].filter((digest) => digests.includes(digest))));
      }
    },
  };

  function updateJob(of: Tables, { id, revision, change }: Parameters<Rows['jobs']['update']>[0][number], at: Date) {
    const before = of.jobs.get(id);
    if (before?.revision !== revision) return false;
    const phaseSince = change.phase === undefined || change.phase === before.phase ? before.phaseSince : at;
    of.jobs.set(id, { ...before, ...given(change), phaseSince, revision: revision + 1 });
    touched.add('intent');
    return true;
  }
}

function bySoonest(left: Job, right: Job): number {
  const queuedMs = ({ queuedAt }: Job) => queuedAt?.getTime() ?? Number.MAX_SAFE_INTEGER;
  const waits = ({ phase }: Job) => Number(phase === 'Waiting');
  return waits(left) - waits(right) || right.priority - left.priority || queuedMs(left) - queuedMs(right);
}

function expiresAtMs({ endedAt, spec }: Job): number {
  return endedAt === null ? Number.POSITIVE_INFINITY : endedAt.getTime() + spec.ttlSeconds * 1_000;
}

function removeJob({ jobs, jobBlobs, attempts, jobEvents, decisions, deviceHolds }: Tables, id: string): void {
  const own = [...attempts.values()].filter(({ jobId }) => jobId === id);
  release(
    deviceHolds,
    own.map((attempt) => attempt.id),
  );
  for (const attempt of own) attempts.delete(attempt.id);
  for (const event of [...jobEvents.values()]) if (event.jobId === id) jobEvents.delete(event.id);
  decisions.delete(id);
  jobBlobs.delete(id);
  jobs.delete(id);
}

function attemptRows({ tables: { attempts, deviceHolds }, touched }: RowsContext): Async<Rows['attempts']> {
  const isIn = ({ tasks }: Attempt, clusterId: string) => tasks.some((task) => task.clusterId === clusterId);
  const live = () => byId(attempts.values()).filter(({ phase }) => phase !== 'Ended');
  return {
    insert: async (rows) => {
      for (const attempt of rows) {
        if (live().some(({ jobId }) => jobId === attempt.jobId)) {
          throw new RefusedError(refuse.conflict('an attempt at this job is under way'));
        }
        attempts.set(attempt.id, attempt);
        touched.add('intent');
      }
    },
    find: async (id) => attempts.get(id) ?? null,
    live: async (by) =>
      live().filter((attempt) => {
        if (by === undefined) return true;
        return 'jobIds' in by ? by.jobIds.includes(attempt.jobId) : isIn(attempt, by.clusterId);
      }),
    findAll: async (ids) => ids.flatMap((id) => attempts.get(id) ?? []),
    ofJob: async (of) =>
      [...attempts.values()].filter(({ jobId }) => jobId === of).sort((left, right) => right.number - left.number),
    update: async (changes) => {
      for (const { id, change } of changes) {
        const before = attempts.get(id);
        if (before === undefined || before.phase === 'Ended') continue;
        attempts.set(id, { ...before, ...given(change) });
        if (change.phase === 'Ended') release(deviceHolds, [id]);
        touched.add('intent');
      }
    },
  };
}

/** The holders let go of all that they hold. */
export function release(deviceHolds: Map<string, DeviceHold>, holderIds: readonly string[]): void {
  for (const [key, { holderId }] of [...deviceHolds]) if (holderIds.includes(holderId)) deviceHolds.delete(key);
}

function deviceHoldRows({ tables: { deviceHolds } }: RowsContext): Async<Rows['deviceHolds']> {
  const keyed = (clusterId: string, holderId: string, devices: readonly NodeDevices[]) =>
    devices.flatMap(({ node, deviceIds }) =>
      deviceIds.map(
        (deviceId) => [`${clusterId}/${node}/${deviceId}`, { clusterId, node, deviceId, holderId }] as const,
      ),
    );
  return {
    take: async (holds) =>
      [...Map.groupBy(holds, ({ holderId }) => holderId)].flatMap(([holderId, own]) => {
        const wanted = own.flatMap(({ clusterId, devices }) => keyed(clusterId, holderId, devices));
        if (wanted.some(([key]) => deviceHolds.has(key))) return [holderId];
        for (const [key, hold] of wanted) deviceHolds.set(key, hold);
        return [];
      }),
    release: async (holderIds) => release(deviceHolds, holderIds),
    ofClusters: async (clusterIds) => {
      const held = [...deviceHolds.values()].filter(({ clusterId }) => clusterIds.includes(clusterId));
      const holders = Map.groupBy(held, ({ clusterId, holderId }) => `${clusterId}/${holderId}`);
      return [...holders.values()].map((own) => ({
        clusterId: own[0]!.clusterId,
        holderId: own[0]!.holderId,
        devices: [...Map.groupBy(own, ({ node }) => node)].map(([node, all]) => ({
          node,
          deviceIds: all.map(({ deviceId }) => deviceId),
        })),
      }));
    },
  };
}

function jobEventRows({ tables, now }: RowsContext): Async<Rows['jobEvents']> {
  const { jobEvents, jobs } = tables;
  const ofJob = (id: string) => [...jobEvents.values()].filter(({ jobId }) => jobId === id);
  return {
    add: async (events) => {
      for (const event of events.filter(({ jobId }) => jobs.has(jobId))) {
        const id = nextId(tables);
        jobEvents.set(id, { ...event, id, at: now() });
        for (const old of byId(ofJob(event.jobId)).slice(0, -EVENTS_PER_JOB_MAX)) jobEvents.delete(old.id);
      }
    },
    list: async (jobId, page) => newestFirst(ofJob(jobId), page),
  };
}

function usageRows({ tables }: RowsContext): Async<Rows['usage']> {
  const { usage } = tables;
  return {
    held: async (tenantId, from, to) => heldBy(tables, tenantId, from, to),
    charge: async (entries) => {
      for (const entry of entries) {
        const key = [entry.tenantId, entry.queueId, entry.deviceType, entry.day].join('/');
        const before = usage.get(key);
        usage.set(key, {
          ...entry,
          jobDeviceSeconds: entry.jobDeviceSeconds + (before?.jobDeviceSeconds ?? 0),
          servingDeviceSeconds: entry.servingDeviceSeconds + (before?.servingDeviceSeconds ?? 0),
          lostDeviceSeconds: entry.lostDeviceSeconds + (before?.lostDeviceSeconds ?? 0),
        });
      }
    },
    since: async (day, of) =>
      [...usage.values()].filter((entry) => entry.day >= day && (of === undefined || entry.tenantId === of)),
  };
}

function heldBy({ attempts, jobs, placements, deployments }: Tables, of: string, from: Date, to: Date): QueueHold[] {
  const live = [
    ...[...attempts.values()]
      .filter(({ phase }) => phase !== 'Ended')
      .map((each) => ({
        ...each,
        kind: 'job' as const,
        queueId: jobs.get(each.jobId)!.queueId,
        members: each.tasks.length,
      })),
    ...[...placements.values()]
      .filter(({ phase }) => phase !== 'Removed')
      .map((each) => ({
        ...each,
        kind: 'serving' as const,
        queueId: deployments.get(each.deploymentId)!.queueId,
        members: 1,
      })),
  ].filter(({ tenantId }) => tenantId === of);
  const alike = Map.groupBy(live, ({ queueId, kind, claim }) => `${queueId}/${kind}/${claim.deviceType}`);
  const sum = (rows: typeof live, of: (row: (typeof live)[number]) => number) =>
    rows.reduce((total, row) => total + of(row), 0);
  return [...alike.values()].map((rows) => ({
    queueId: rows[0]!.queueId,
    kind: rows[0]!.kind,
    deviceType: rows[0]!.claim.deviceType,
    holders: rows.length,
    devices: sum(rows, ({ claim, members }) => claim.count * members),
    deviceSeconds: sum(rows, ({ claim, members, createdAt }) => {
      const sinceMs = Math.max(createdAt.getTime(), from.getTime());
      return (claim.count * members * Math.max(0, to.getTime() - sinceMs)) / 1_000;
    }),
  }));
}

function owedDocumentRows({ tables: { owedDocuments }, touched }: RowsContext): Async<Rows['owedDocuments']> {
  return {
    add: async (clusterIds) => {
      for (const id of clusterIds) owedDocuments.set(id, true);
      if (clusterIds.length > 0) touched.add('intent');
    },
    take: async (limit, except = []) => {
      const taken = [...owedDocuments.keys()].filter((id) => !except.includes(id)).slice(0, limit);
      for (const id of taken) owedDocuments.delete(id);
      return taken;
    },
  };
}
