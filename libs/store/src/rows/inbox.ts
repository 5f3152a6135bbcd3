import { InboxRows } from '#domain';
import type { Session } from '../session.ts';

/** Message ids count per cluster: one cluster cannot use up another's. */
export class PostgresInboxRows extends InboxRows {
  constructor(private readonly session: Session) {
    super();
  }

  /** Of a cluster that does not exist nothing is accepted. */
  async accept(messageId: string, clusterId: string): Promise<boolean> {
    return (await this.session.write(ACCEPT_ONCE, [messageId, clusterId])).affected === 1;
  }

  async removeOlderThan(before: Date): Promise<number> {
    return (await this.session.write('DELETE FROM inbox WHERE received_at < $1', [before])).affected;
  }
}

const ACCEPT_ONCE = `
  INSERT INTO inbox (cluster_id, message_id, tenant_id, received_at)
  SELECT id, $1, tenant_id, now() FROM clusters WHERE id = $2
  ON CONFLICT DO NOTHING`;
