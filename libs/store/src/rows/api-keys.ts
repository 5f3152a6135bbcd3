import { type ApiKey, ApiKeyRows, type PageRequest } from '#domain';
import { ApiKeyRow } from '../entities/keys.ts';
import { isId, pageWhere } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresApiKeyRows extends ApiKeyRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(key: ApiKey): Promise<void> {
    await this.session.insert(ApiKeyRow, toRow(key));
  }

  async find(by: { id: string } | { publicId: string }): Promise<ApiKey | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(ApiKeyRow, 'id' in by ? { id: by.id } : { publicId: by.publicId });
    return row === null ? null : fromRow(row);
  }

  async list(page: PageRequest): Promise<ApiKey[]> {
    const rows = await this.session.find(ApiKeyRow, pageWhere<ApiKeyRow>(page), {
      order: { id: 'ASC' },
      limit: page.limit,
    });
    return rows.map(fromRow);
  }

  async revoke(id: string): Promise<boolean> {
    if (!isId(id)) return false;
    const { affected } = await this.session.write(
      'UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL',
      [id],
    );
    return affected === 1;
  }

  /** An owner key that still works; a revoked or expired one lets nobody in. */
  async ownerExists(): Promise<boolean> {
    const [row] = await this.session.rows<{ exists: boolean }>(OWNER_EXISTS);
    return row?.exists === true;
  }
}

const OWNER_EXISTS = `
  SELECT EXISTS (
    SELECT FROM api_keys
    WHERE role = 'owner' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  ) AS exists`;

function toRow(key: ApiKey): ApiKeyRow {
  return { ...key, models: key.models === null ? null : [...key.models] };
}

function fromRow(row: ApiKeyRow): ApiKey {
  return { ...row };
}
