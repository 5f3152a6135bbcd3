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
    return (await this.session.write(REMOVE_OLD, [before])).affected;
  }
}

const ACCEPT_ONCE = `
  INSERT INTO inbox (cluster_id, message_id, tenant_id, received_at)
  SELECT id, $1, tenant_id, now() FROM clusters WHERE id = $2
  ON CONFLICT DO NOTHING`;

// A cluster that went silent before it can have heard the answer tells the event again, however late it comes back.
const REMOVE_OLD = `
  DELETE FROM inbox USING clusters
  WHERE clusters.id = inbox.cluster_id AND inbox.received_at < $1 AND (clusters.phase = 'Left' OR EXISTS (
    SELECT FROM observations
    WHERE observations.cluster_id = inbox.cluster_id AND observations.received_at > inbox.received_at + interval '1 hour'
  ))`;
