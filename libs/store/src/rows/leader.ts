import { LeaderRows } from '#domain';
import type { Session } from '../session.ts';

export class PostgresLeaderRows extends LeaderRows {
  constructor(private readonly session: Session) {
    super();
  }

  async epochAbove(floor: number): Promise<number> {
    const { rows } = await this.session.write<{ epoch: string }>(RAISE, [floor]);
    return Number(rows[0]!.epoch);
  }
}

// Waits for the leader's transactions under way: each of them holds this row in share mode.
const RAISE = 'UPDATE leader SET epoch = greatest(epoch, $1::bigint + 1) RETURNING epoch';
