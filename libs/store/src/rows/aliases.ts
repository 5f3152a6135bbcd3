import { type AliasMove, AliasRows, type ModelAlias } from '#domain';
import { AliasMoveRow, ModelAliasRow } from '../entities/models.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { INSTALLATION_NOW, timedId, untimedId } from '../timed-ids.ts';

export class PostgresAliasRows extends AliasRows {
  constructor(private readonly session: Session) {
    super();
  }

  async find(modelId: string, name: string, forUpdate = false): Promise<ModelAlias | null> {
    if (!isId(modelId)) return null;
    const row = await this.session.findOne(ModelAliasRow, { modelId, name }, forUpdate);
    return row === null ? null : { ...row };
  }

  async listOfModel(modelId: string): Promise<ModelAlias[]> {
    if (!isId(modelId)) return [];
    const rows = await this.session.find(ModelAliasRow, { modelId }, { order: { name: 'ASC' } });
    return rows.map((row) => ({ ...row }));
  }

  async move(
    alias: { tenantId: string; modelId: string; name: string },
    to: string | null,
    actor: string,
  ): Promise<void> {
    const { tenantId, modelId, name } = alias;
    // Two moves of one alias, its first one too, come one after the other: the history is a chain.
    await this.session.write('SELECT FROM models WHERE id = $1 FOR UPDATE', [modelId]);
    const from = (await this.find(modelId, name, true))?.versionId ?? null;
    if (from === to) return;
    if (to === null) await this.session.write(REMOVE, [modelId, name]);
    else await this.session.write(POINT, [modelId, name, tenantId, to]);
    await this.session.write(ADD_MOVE, [untimedId(), tenantId, modelId, name, from, to, actor]);
  }

  async history(modelId: string, name: string, limit: number): Promise<AliasMove[]> {
    if (!isId(modelId)) return [];
    const rows = await this.session.find(AliasMoveRow, { modelId, alias: name }, { order: { id: 'DESC' }, limit });
    return rows.map((row) => ({ ...row }));
  }
}

const REMOVE = 'DELETE FROM model_aliases WHERE model_id = $1 AND name = $2';

const POINT = `
  INSERT INTO model_aliases (model_id, name, tenant_id, version_id, moved_at) VALUES ($1, $2, $3, $4, now())
  ON CONFLICT (model_id, name) DO UPDATE SET version_id = excluded.version_id, moved_at = excluded.moved_at`;

const ADD_MOVE = `
  INSERT INTO alias_moves (id, tenant_id, model_id, alias, from_version_id, to_version_id, actor, at)
  SELECT ${timedId('$1', 'clock.now')}, $2, $3, $4, $5, $6, $7, clock.now FROM (SELECT ${INSTALLATION_NOW} AS now) clock`;
