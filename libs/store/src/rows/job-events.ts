import { LessThan } from 'typeorm';
import { EVENTS_PER_JOB_MAX, type JobEvent, JobEventRows, type PageRequest } from '#domain';
import { storableJson } from '../canonical.ts';
import { JobEventRow } from '../entities/jobs.ts';
import { checkPage, isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { INSTALLATION_NOW, timedId, untimedId } from '../timed-ids.ts';

export class PostgresJobEventRows extends JobEventRows {
  constructor(private readonly session: Session) {
    super();
  }

  /** Events of a job that is gone are left out. */
  async add(events: readonly Omit<JobEvent, 'id' | 'at'>[]): Promise<void> {
    if (events.length === 0) return;
    // Messages are also other machines' words.
    await this.session.write(INSERT_ALL, [storableJson(events.map((event) => ({ ...event, id: untimedId() })))]);
    await this.session.write(DROP_OLD, [[...new Set(events.map(({ jobId }) => jobId))], EVENTS_PER_JOB_MAX]);
  }

  async list(jobId: string, page: Omit<PageRequest, 'tenantId'>): Promise<JobEvent[]> {
    checkPage(page);
    if (!isId(jobId)) return [];
    const where = page.after === null ? { jobId } : { jobId, id: LessThan(page.after) };
    const rows = await this.session.find(JobEventRow, where, { order: { id: 'DESC' }, limit: page.limit });
    return rows.map((row) => ({ ...row }));
  }
}

const INSERT_ALL = `
  WITH clock AS MATERIALIZED (SELECT ${INSTALLATION_NOW} AS now)
  INSERT INTO job_events (id, tenant_id, job_id, attempt_id, kind, message, at)
  SELECT ${timedId('event.id', 'clock.now')}, jobs.tenant_id, jobs.id, "attemptId", event.kind, message, clock.now
  FROM jsonb_to_recordset($1::jsonb) AS event (id uuid, "jobId" uuid, "attemptId" uuid, kind text, message text)
  JOIN jobs ON jobs.id = "jobId" CROSS JOIN clock`;

const DROP_OLD = `
  DELETE FROM job_events USING unnest($1::uuid[]) job (id)
  WHERE job_events.job_id = job.id AND job_events.id < (
    SELECT kept.id FROM job_events kept WHERE kept.job_id = job.id ORDER BY kept.id DESC OFFSET $2 - 1 LIMIT 1
  )`;
