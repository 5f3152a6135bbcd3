/**
 * Ids of rows that are listed in the order in which they were written, by whichever process: UUIDv7 by the installation's
 * clock (ADR 25). By the clocks of the processes, what happened last could stand first (R22).
 */
import { v7 } from 'uuid';

/** Of the statement, so that it is past every lock that was waited for before. */
export const INSTALLATION_NOW = `
  (statement_timestamp() + (SELECT clock_ahead_ms FROM leader) * interval '1 millisecond')`;

let count = 0;

/** Without its time, which `timedId` gives it in the statement that writes it. Those of one process are in order. */
export function untimedId(): string {
  count = (count + 1) >>> 0;
  return v7({ msecs: 0, seq: count });
}

/**
 * SQL for an untimed id with its time.
 *
 * @param id,at SQL; `at` default: now
 */
export function timedId(id: string, at = INSTALLATION_NOW): string {
  const hex = `lpad(to_hex((extract(epoch FROM ${at}) * 1000)::bigint), 12, '0')`;
  return `overlay(${id}::text PLACING substr(${hex}, 1, 8) || '-' || substr(${hex}, 9) FROM 1 FOR 13)::uuid`;
}
