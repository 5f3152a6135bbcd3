import { type ClockReading, ClockRows } from '#domain';
import type { Session } from '../session.ts';

export class PostgresClockRows extends ClockRows {
  constructor(private readonly session: Session) {
    super();
  }

  async read(): Promise<ClockReading> {
    const [row] = await this.session.rows<{ at: Date; aheadMs: string }>(READ);
    return { at: row!.at, aheadMs: Number(row!.aheadMs) };
  }

  async now(): Promise<Date> {
    return (await this.read()).at;
  }

  async nowMs(): Promise<number> {
    return (await this.now()).getTime();
  }

  async keepAhead(epoch: number, aheadMs: number): Promise<void> {
    await this.session.write(KEEP, [epoch, aheadMs]);
  }
}

const READ = `
  SELECT clock_timestamp() + clock_ahead_ms * interval '1 millisecond' AS at, clock_ahead_ms AS "aheadMs" FROM leader`;

// The leader's transactions under way hold this row in share mode: it waits for them, as a new epoch does.
const KEEP = 'UPDATE leader SET clock_ahead_ms = $2 WHERE epoch = $1 AND clock_ahead_ms <> $2';
