import { In } from 'typeorm';
import { isRolloutActive, RefusedError, type Rollout, RolloutRows, refuse } from '#domain';
import { RolloutRow } from '../entities/rollouts.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresRolloutRows extends RolloutRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(rollout: Rollout): Promise<void> {
    await this.session.write('SELECT FROM deployments WHERE id = $1 FOR UPDATE', [rollout.deploymentId]);
    if (isRolloutActive(rollout) && (await this.active(rollout.deploymentId)).length > 0) {
      throw new RefusedError(refuse.conflict('a rollout of this deployment is active; pause, abort or supersede it'));
    }
    await this.session.insert(RolloutRow, { ...rollout, openClusterIds: [...rollout.openClusterIds] });
  }

  async active(deploymentId?: string): Promise<Rollout[]> {
    const of = deploymentId === undefined ? {} : { deploymentId };
    const rows = await this.session.find(
      RolloutRow,
      { ...of, phase: In(['Progressing', 'Paused']) },
      { order: { id: 'ASC' } },
    );
    return rows.map((row) => ({ ...row }));
  }

  async ofDeployment(deploymentId: string, limit: number): Promise<Rollout[]> {
    if (!isId(deploymentId)) return [];
    const rows = await this.session.find(RolloutRow, { deploymentId }, { order: { id: 'DESC' }, limit });
    return rows.map((row) => ({ ...row }));
  }

  async update(id: string, change: Parameters<RolloutRows['update']>[1]): Promise<boolean> {
    const { affected } = await this.session.write(UPDATE_ACTIVE, [
      id,
      change.phase ?? null,
      change.wave ?? null,
      change.openClusterIds === undefined ? null : JSON.stringify(change.openClusterIds),
      change.isOpenToAll ?? null,
      change.isSwitched ?? null,
      change.waveSince ?? null,
      change.waveReadyAt !== undefined,
      change.waveReadyAt ?? null,
      change.reason ?? null,
    ]);
    return affected === 1;
  }
}

// $8 tells "set to null" from "leave alone", which only this column needs.
const UPDATE_ACTIVE = `
  UPDATE rollouts SET
    phase = coalesce($2, phase),
    wave = coalesce($3, wave),
    open_cluster_ids = coalesce($4::jsonb, open_cluster_ids),
    is_open_to_all = coalesce($5, is_open_to_all),
    is_switched = coalesce($6, is_switched),
    wave_since = coalesce($7::timestamptz, wave_since),
    wave_ready_at = CASE WHEN $8 THEN $9::timestamptz ELSE wave_ready_at END,
    reason = coalesce($10, reason),
    ended_at = CASE WHEN coalesce($2, phase) NOT IN ('Progressing', 'Paused') THEN now() END
  WHERE id = $1 AND phase IN ('Progressing', 'Paused')`;
