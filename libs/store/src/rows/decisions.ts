import { type Decision, DecisionRows } from '#domain';
import { DecisionRow } from '../entities/history.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { mustHaveWritten } from './written.ts';

/** Older decisions of a subject are dropped when a new one comes. */
export const DECISIONS_KEPT_PER_SUBJECT = 50;

export class PostgresDecisionRows extends DecisionRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(decision: Decision): Promise<void> {
    const written = await this.session.write(INSERT, [
      decision.id,
      decision.subjectKind,
      decision.subjectId,
      decision.epoch,
      decision.inputsHash,
      JSON.stringify(decision.candidates),
      decision.outcome,
      decision.decidedAt,
    ]);
    mustHaveWritten(written, decision.subjectKind, decision.subjectId);
    await this.session.write(DROP_OLD, [decision.subjectId, DECISIONS_KEPT_PER_SUBJECT]);
  }

  async newest(subjectId: string, limit: number): Promise<Decision[]> {
    if (!isId(subjectId)) return [];
    return this.session
      .find(DecisionRow, { subjectId }, { order: { id: 'DESC' }, limit })
      .then((rows) => rows.map(fromRow));
  }
}

const INSERT = `
  INSERT INTO decisions (id, tenant_id, subject_kind, subject_id, epoch, inputs_hash, candidates, outcome, decided_at)
  SELECT $1, tenant_id, $2, id, $4, $5, $6::jsonb, $7, $8 FROM deployments WHERE id = $3`;

const DROP_OLD = `
  DELETE FROM decisions WHERE subject_id = $1 AND id NOT IN (
    SELECT id FROM decisions WHERE subject_id = $1 ORDER BY id DESC LIMIT $2
  )`;

function fromRow(row: DecisionRow): Decision {
  const { id, subjectKind, subjectId, epoch, inputsHash, candidates, outcome, decidedAt } = row;
  return { id, subjectKind, subjectId, epoch, inputsHash, candidates, outcome, decidedAt };
}
