import {
  type Checkpoint,
  type Job,
  type JobBlobs,
  type JobChange,
  type JobFilter,
  type JobHead,
  JobRows,
  type JobSpec,
  type PageRequest,
  type QueueTally,
} from '#domain';
import { storableJson } from '../canonical.ts';
import { checkPage, isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { type ColumnType, columnParts, setChanged } from './columns.ts';

export class PostgresJobRows extends JobRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(jobs: readonly Job[]): Promise<void> {
    if (jobs.length > 0) await this.session.write(INSERT_ALL, [JSON.stringify(jobs)]);
  }

  async find(by: { id: string } | { tenantId: string; name: string }, forUpdate = false): Promise<Job | null> {
    if ('id' in by && !isId(by.id)) return null;
    const where = 'id' in by ? 'id = $1' : 'tenant_id = $1 AND name = $2';
    const parameters = 'id' in by ? [by.id] : [by.tenantId, by.name];
    const [job] = forUpdate
      ? await this.written(`${SELECT} WHERE ${where} ${LOCKED}`, parameters)
      : await this.selected(`${SELECT} WHERE ${where}`, parameters);
    return job ?? null;
  }

  async list(page: PageRequest & JobFilter): Promise<Job[]> {
    checkPage(page);
    if (page.queueId !== undefined && !isId(page.queueId)) return [];
    const { tenantId, after, limit, queueId = null, phases = null } = page;
    return this.selected(LIST, [tenantId, after, limit, queueId, phases]);
  }

  async findAll(ids: readonly string[]): Promise<Job[]> {
    return ids.length === 0 ? [] : this.selected(FIND_ALL, [[...ids]]);
  }

  async active(specs: Map<string, JobSpec> = new Map()): Promise<Job[]> {
    const jobs = await this.selected(ACTIVE);
    const present = new Set(jobs.map(({ id }) => id));
    for (const id of specs.keys()) if (!present.has(id)) specs.delete(id);
    const missing = [...present].filter((id) => !specs.has(id));
    if (missing.length > 0) {
      const read = await this.session.rows<Pick<Job, 'id' | 'spec'>>(SPECS, [missing]);
      for (const { id, spec } of read) specs.set(id, spec);
    }
    return jobs.flatMap((job) => {
      const spec = specs.get(job.id);
      return spec === undefined ? [] : [{ ...job, spec }]; // ended and removed between the two
    });
  }

  async dependents(jobId: string, limit: number): Promise<string[]> {
    const rows = await this.session.rows<{ name: string }>(DEPENDENTS, [jobId, limit]);
    return rows.map(({ name }) => name);
  }

  async tally(tenantId: string): Promise<QueueTally[]> {
    return this.session.rows<QueueTally>(TALLY, [tenantId]);
  }

  async pending(queueId: string, limit: number): Promise<Job[]> {
    return this.selected(PENDING, [queueId, limit]);
  }

  async nominated(): Promise<Job[]> {
    return this.selected(NOMINATED);
  }

  async lock(ids: readonly string[]): Promise<Job[]> {
    return ids.length === 0 ? [] : this.written(`${FIND_ALL} ${LOCKED}`, [[...ids]]);
  }

  async lockHeads(ids: readonly string[]): Promise<JobHead[]> {
    return ids.length === 0 ? [] : (await this.session.write<JobHead>(LOCK_HEADS, [[...ids]])).rows;
  }

  async update(changes: readonly { id: string; revision: number; change: JobChange }[]): Promise<string[]> {
    if (changes.length === 0) return [];
    // Reasons and progress may be other machines' words.
    const { rows } = await this.session.write<{ id: string }>(UPDATE_ALL, [storableJson(changes)]);
    return rows.map(({ id }) => id);
  }

  async expired(now: Date, limit: number): Promise<string[]> {
    return (await this.session.rows<{ id: string }>(EXPIRED, [now, limit])).map(({ id }) => id);
  }

  async remove(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.session.write(REMOVE_FINAL, [[...ids]]);
  }

  async noteBlobs(noted: readonly JobBlobs[]): Promise<void> {
    if (noted.some(({ digests }) => digests.length > 0)) await this.session.write(NOTE_BLOBS, [JSON.stringify(noted)]);
  }

  async dropBlobs(kept: readonly JobBlobs[]): Promise<void> {
    if (kept.length > 0) await this.session.write(DROP_BLOBS, [JSON.stringify(kept)]);
  }

  private async selected(statement: string, parameters: readonly unknown[] = []): Promise<Job[]> {
    return (await this.session.rows<Job>(statement, parameters)).map(fromRow);
  }

  private async written(statement: string, parameters: readonly unknown[]): Promise<Job[]> {
    return (await this.session.write<Job>(statement, parameters)).rows.map(fromRow);
  }
}

/** What changes about a job. */
const CHANGING: Readonly<Record<keyof JobChange, ColumnType>> = {
  queueId: 'uuid',
  priorityClass: 'text',
  priority: 'integer',
  preemption: 'text',
  preemptible: 'boolean',
  phase: 'text',
  reason: 'text',
  suspended: 'boolean',
  cancelRequestedAt: 'timestamptz',
  attempts: 'integer',
  failures: 'integer',
  preemptions: 'integer',
  losses: 'integer',
  retryAt: 'timestamptz',
  queuedAt: 'timestamptz',
  startedAt: 'timestamptz',
  endedAt: 'timestamptz',
  ranSeconds: 'double precision',
  usedDeviceSeconds: 'double precision',
  lostDeviceSeconds: 'double precision',
  checkpoint: 'jsonb',
  nomination: 'jsonb',
  outputDigest: 'text',
  publishedVersionId: 'uuid',
};

const WITHOUT_SPEC = {
  id: 'uuid',
  tenantId: 'uuid',
  name: 'text',
  kind: 'text',
  dependsOn: 'jsonb',
  phaseSince: 'timestamptz',
  createdAt: 'timestamptz',
  revision: 'integer',
  ...CHANGING,
} as const;
const JOB = columnParts<Job>({ ...WITHOUT_SPEC, spec: 'jsonb' });

const SELECT = `SELECT ${JOB.selected} FROM jobs`;
const FINAL = `('Succeeded', 'Failed', 'Cancelled')`;

// Not against what only refers to the row: events and blobs of a locked job may be written meanwhile.
const LOCKED = 'FOR NO KEY UPDATE';

const FIND_ALL = `${SELECT} WHERE id = ANY ($1::uuid[]) ORDER BY id`;
const LOCK_HEADS = `SELECT id, phase, attempts, revision FROM jobs WHERE id = ANY ($1::uuid[]) ORDER BY id ${LOCKED}`;
const ACTIVE = `SELECT ${columnParts<Omit<Job, 'spec'>>(WITHOUT_SPEC).selected} FROM jobs WHERE expires_at IS NULL ORDER BY id`;
const SPECS = 'SELECT id, spec FROM jobs WHERE id = ANY ($1::uuid[])';

const DEPENDENTS = `
  SELECT name FROM jobs
  WHERE expires_at IS NULL AND depends_on @> jsonb_build_array(jsonb_build_object('jobId', $1::text))
  ORDER BY id LIMIT $2`;

const TALLY = `
  SELECT queue_id AS "queueId", phase, count(*)::integer AS count FROM jobs
  WHERE tenant_id = $1 AND expires_at IS NULL GROUP BY queue_id, phase ORDER BY queue_id, phase`;

const PENDING = `${SELECT}
  WHERE queue_id = $1 AND phase IN ('Queued', 'Waiting') AND expires_at IS NULL
  ORDER BY phase = 'Waiting', priority DESC, queued_at, id LIMIT $2`;

const NOMINATED = `${SELECT} WHERE nomination IS NOT NULL AND expires_at IS NULL ORDER BY id`;

const LIST = `${SELECT}
  WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($4::uuid IS NULL OR queue_id = $4)
    AND ($5::text[] IS NULL OR phase = ANY ($5))
  ORDER BY id DESC LIMIT $3`;

// Null exactly while the phase is not final: the index of what is active goes by it.
const EXPIRES = (phase: string, endedAt: string) => `
  CASE WHEN ${phase} IN ${FINAL}
    THEN coalesce(${endedAt}, now()) + make_interval(secs => (spec ->> 'ttlSeconds')::double precision) END`;

const INSERT_ALL = `
  WITH inserted AS (
    INSERT INTO jobs (${JOB.names}, expires_at)
    SELECT ${JOB.given}, ${EXPIRES('phase', '"endedAt"')}
    FROM jsonb_to_recordset($1::jsonb) AS job (${JOB.recordset})
    RETURNING id, spec
  )
  INSERT INTO job_mounts (job_id, version_id)
  SELECT DISTINCT id, (mount ->> 'versionId')::uuid FROM inserted, jsonb_array_elements(spec -> 'mounts') mount`;

const UPDATE_ALL = `
  WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS given (id uuid, revision integer, change jsonb)
  ),
  updated AS (
    UPDATE jobs SET ${setChanged<Required<JobChange>>('jobs', CHANGING)},
      phase_since = CASE WHEN change ->> 'phase' <> jobs.phase THEN now() ELSE phase_since END,
      expires_at = ${EXPIRES(
        `coalesce(change ->> 'phase', jobs.phase)`,
        `CASE WHEN change ? 'endedAt' THEN (change ->> 'endedAt')::timestamptz ELSE ended_at END`,
      )},
      revision = jobs.revision + 1
    FROM given WHERE jobs.id = given.id AND jobs.revision = given.revision
    RETURNING jobs.id
  )
  SELECT id FROM given WHERE id NOT IN (SELECT id FROM updated)`;

// What somebody still waits for is kept: whether it succeeded is all that its dependents go by.
const EXPIRED = `
  SELECT id FROM jobs
  WHERE expires_at <= $1 AND id NOT IN (
    SELECT (dependency ->> 'jobId')::uuid FROM jobs dependent, jsonb_array_elements(dependent.depends_on) dependency
    WHERE dependent.expires_at IS NULL)
  ORDER BY expires_at, id LIMIT $2`;

// Attempts, events, mounts and blobs go with the row. Holds refer to nothing: one that was left would stay for ever.
const REMOVE_FINAL = `
  WITH removed AS (
    DELETE FROM jobs WHERE id = ANY ($1::uuid[]) AND expires_at IS NOT NULL RETURNING id
  ),
  forgotten AS (
    DELETE FROM decisions WHERE subject_id IN (SELECT id FROM removed)
  )
  DELETE FROM device_holds WHERE holder_id IN (
    SELECT attempts.id FROM attempts JOIN removed ON removed.id = attempts.job_id)`;

// In order, so that two that note the same wait for each other one way only.
const NOTE_BLOBS = `
  INSERT INTO job_blobs (job_id, digest)
  SELECT DISTINCT jobs.id, digest
  FROM jsonb_to_recordset($1::jsonb) AS noted ("jobId" uuid, digests jsonb)
  JOIN jobs ON jobs.id = "jobId", jsonb_array_elements_text(digests) digest
  ORDER BY 1, 2
  ON CONFLICT DO NOTHING`;

const DROP_BLOBS = `
  DELETE FROM job_blobs USING jsonb_to_recordset($1::jsonb) AS kept ("jobId" uuid, digests jsonb)
  WHERE job_blobs.job_id = "jobId" AND NOT digests ? digest`;

/** Times inside jsonb come as text. */
export function checkpointFromRow(stored: Checkpoint | null): Checkpoint | null {
  if (stored === null) return null;
  const { before } = stored;
  return {
    ...stored,
    at: new Date(stored.at),
    ...(before === undefined ? {} : { before: { ...before, at: new Date(before.at) } }),
  };
}

function fromRow(row: Job): Job {
  const { checkpoint, nomination } = row;
  if (checkpoint === null && nomination === null) return row;
  return {
    ...row,
    checkpoint: checkpointFromRow(checkpoint),
    nomination: nomination === null ? null : { ...nomination, since: new Date(nomination.since) },
  };
}
