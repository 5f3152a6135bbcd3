import { type Decision, DecisionRows } from '#domain';
import { storableJson } from '../canonical.ts';
import { DecisionRow } from '../entities/history.ts';
import { isId } from '../paging.ts';
import type { Session, Written } from '../session.ts';
import { mustHaveWritten } from './written.ts';

/**
 * Older decisions of a subject are dropped when a new one comes. In order of their leaders' epochs, and then of the ids
 * that each gave: by ids alone, those of a leader whose clock is ahead would stay the newest (R22).
 */
export const DECISIONS_KEPT_PER_SUBJECT = 50;

export class PostgresDecisionRows extends DecisionRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(decision: Decision): Promise<void> {
    mustHaveWritten(await this.write([decision]), decision.subjectKind, decision.subjectId);
  }

  async insertAll(decisions: readonly Decision[]): Promise<void> {
    if (decisions.length > 0) await this.write(decisions);
  }

  async newest(subjectId: string, limit: number): Promise<Decision[]> {
    if (!isId(subjectId)) return [];
    return this.session
      .find(DecisionRow, { subjectId }, { order: { epoch: 'DESC', id: 'DESC' }, limit })
      .then((rows) => rows.map(fromRow));
  }

  async newestOf(subjectIds: readonly string[]): Promise<Decision[]> {
    return subjectIds.length === 0 ? [] : this.session.rows<Decision>(NEWEST_OF, [[...subjectIds]]);
  }

  private async write(decisions: readonly Decision[]): Promise<Written<unknown>> {
    const written = await this.session.write(INSERT_ALL, [storableJson(decisions)]);
    const subjectIds = [...new Set(decisions.map(({ subjectId }) => subjectId))];
    await this.session.write(DROP_OLD, [subjectIds, DECISIONS_KEPT_PER_SUBJECT]);
    return written;
  }
}

// The tenant is the subject's; a subject that is gone has no decisions.
const INSERT_ALL = `
  INSERT INTO decisions
    (id, tenant_id, subject_kind, subject_id, epoch, inputs_hash, candidates, outcome, detail, decided_at)
  SELECT decision.id, coalesce(deployment.tenant_id, job.tenant_id), "subjectKind", "subjectId", epoch, "inputsHash",
    candidates, outcome, nullif(detail, 'null'), "decidedAt"
  FROM jsonb_to_recordset($1::jsonb) AS decision (id uuid, "subjectKind" text, "subjectId" uuid, epoch bigint,
    "inputsHash" text, candidates jsonb, outcome text, detail jsonb, "decidedAt" timestamptz)
  LEFT JOIN deployments deployment ON "subjectKind" = 'deployment' AND deployment.id = "subjectId"
  LEFT JOIN jobs job ON "subjectKind" = 'job' AND job.id = "subjectId"
  WHERE deployment.id IS NOT NULL OR job.id IS NOT NULL`;

const NEWEST_OF = `
  SELECT DISTINCT ON (subject_id) id, subject_kind AS "subjectKind", subject_id AS "subjectId", epoch::double precision,
    inputs_hash AS "inputsHash", candidates, outcome, detail, decided_at AS "decidedAt"
  FROM decisions WHERE subject_id = ANY ($1::uuid[]) ORDER BY subject_id, epoch DESC, id DESC`;

// A statement of its own: what the first one wrote is not seen within it.
const DROP_OLD = `
  DELETE FROM decisions USING unnest($1::uuid[]) subject (id)
  WHERE decisions.subject_id = subject.id AND (decisions.epoch, decisions.id) < (
    SELECT kept.epoch, kept.id FROM decisions kept WHERE kept.subject_id = subject.id
    ORDER BY kept.epoch DESC, kept.id DESC OFFSET $2 - 1 LIMIT 1
  )`;

function fromRow({ tenantId: _, ...row }: DecisionRow): Decision {
  return { ...row };
}
