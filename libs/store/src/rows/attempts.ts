import { type Attempt, type AttemptChange, AttemptRows } from '#domain';
import { storableJson } from '../canonical.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { type ColumnType, columnParts, setChanged } from './columns.ts';
import { checkpointFromRow } from './jobs.ts';

export const ATTEMPTS_LISTED_MAX = 100;

export class PostgresAttemptRows extends AttemptRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(attempts: readonly Attempt[]): Promise<void> {
    if (attempts.length > 0) await this.session.write(INSERT_ALL, [JSON.stringify(attempts)]);
  }

  async find(id: string, forUpdate = false): Promise<Attempt | null> {
    if (!isId(id)) return null;
    if (!forUpdate) return (await this.selected(FIND, [id]))[0] ?? null;
    const { rows } = await this.session.write<Attempt>(`${FIND} FOR NO KEY UPDATE`, [id]);
    return rows.map(fromRow)[0] ?? null;
  }

  async live(by?: { jobIds: readonly string[] } | { clusterId: string }): Promise<Attempt[]> {
    if (by === undefined) return this.selected(LIVE);
    if ('clusterId' in by) return this.selected(LIVE_IN_CLUSTER, [by.clusterId]);
    return by.jobIds.length === 0 ? [] : this.selected(LIVE_OF_JOBS, [[...by.jobIds]]);
  }

  async findAll(ids: readonly string[]): Promise<Attempt[]> {
    return ids.length === 0 ? [] : this.selected(FIND_ALL, [[...ids]]);
  }

  async ofJob(jobId: string): Promise<Attempt[]> {
    return isId(jobId) ? this.selected(OF_JOB, [jobId, ATTEMPTS_LISTED_MAX]) : [];
  }

  async update(changes: readonly { id: string; change: AttemptChange }[]): Promise<void> {
    // Reasons are also other machines' words.
    if (changes.length > 0) await this.session.write(UPDATE_ALL, [storableJson(changes)]);
  }

  private async selected(statement: string, parameters: readonly unknown[] = []): Promise<Attempt[]> {
    return (await this.session.rows<Attempt>(statement, parameters)).map(fromRow);
  }
}

/** What changes about an attempt. */
const CHANGING: Readonly<Record<keyof AttemptChange, ColumnType>> = {
  tasks: 'jsonb',
  phase: 'text',
  stop: 'jsonb',
  outcome: 'text',
  exitCode: 'integer',
  reason: 'text',
  lostDeviceSeconds: 'double precision',
  startedAt: 'timestamptz',
  endedAt: 'timestamptz',
};

const ATTEMPT = columnParts<Attempt>({
  id: 'uuid',
  tenantId: 'uuid',
  jobId: 'uuid',
  number: 'integer',
  epoch: 'bigint',
  claim: 'jsonb',
  resumedFrom: 'jsonb',
  createdAt: 'timestamptz',
  ...CHANGING,
});

const SELECT = `SELECT ${ATTEMPT.selected} FROM attempts`;
const FIND = `${SELECT} WHERE id = $1`;
const FIND_ALL = `${SELECT} WHERE id = ANY ($1::uuid[])`;
const LIVE = `${SELECT} WHERE is_live ORDER BY id`;
const LIVE_OF_JOBS = `${SELECT} WHERE is_live AND job_id = ANY ($1::uuid[]) ORDER BY id`;
const LIVE_IN_CLUSTER = `${SELECT} WHERE is_live AND cluster_ids @> ARRAY[$1::uuid] ORDER BY id`;
const OF_JOB = `${SELECT} WHERE job_id = $1 ORDER BY number DESC LIMIT $2`;

const CLUSTERS_OF = (tasks: string) =>
  `ARRAY(SELECT DISTINCT (task ->> 'clusterId')::uuid FROM jsonb_array_elements(${tasks}) task)`;

const INSERT_ALL = `
  INSERT INTO attempts (${ATTEMPT.names}, is_live, cluster_ids)
  SELECT ${ATTEMPT.given}, phase <> 'Ended', ${CLUSTERS_OF('tasks')}
  FROM jsonb_to_recordset($1::jsonb) AS attempt (${ATTEMPT.recordset})`;

const UPDATE_ALL = `
  WITH updated AS (
    UPDATE attempts SET ${setChanged<Required<AttemptChange>>('attempts', CHANGING)},
      is_live = coalesce(change ->> 'phase', attempts.phase) <> 'Ended',
      cluster_ids = CASE WHEN change ? 'tasks' THEN ${CLUSTERS_OF(`change -> 'tasks'`)} ELSE cluster_ids END
    FROM jsonb_to_recordset($1::jsonb) AS given (id uuid, change jsonb)
    WHERE attempts.id = given.id AND attempts.is_live
    RETURNING attempts.id, attempts.is_live
  )
  DELETE FROM device_holds WHERE holder_id IN (SELECT id FROM updated WHERE NOT is_live)`;

/** Times inside jsonb come as text. */
function fromRow(row: Attempt): Attempt {
  const { stop, resumedFrom } = row;
  if (stop === null && resumedFrom === null) return row;
  return {
    ...row,
    stop: stop === null ? null : { ...stop, at: new Date(stop.at) },
    resumedFrom: checkpointFromRow(resumedFrom),
  };
}
