import { type JoinToken, JoinTokenRows } from '#domain';
import { JoinTokenRow } from '../entities/keys.ts';
import type { Session } from '../session.ts';

export class PostgresJoinTokenRows extends JoinTokenRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(token: JoinToken): Promise<void> {
    await this.session.insert(JoinTokenRow, { ...token, usedByClusterId: null });
  }

  async findByPublicId(publicId: string, forUpdate = false): Promise<JoinToken | null> {
    const row = await this.session.findOne(JoinTokenRow, { publicId }, forUpdate);
    return row === null ? null : { ...row };
  }

  async use(id: string, clusterId: string): Promise<boolean> {
    const { affected } = await this.session.write(USE_ONCE, [id, clusterId]);
    return affected === 1;
  }
}

const USE_ONCE = `
  UPDATE join_tokens SET used_at = now(), used_by_cluster_id = $2 WHERE id = $1 AND used_at IS NULL`;
