import { type QueueUsage, UsageRows } from '#domain';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresUsageRows extends UsageRows {
  constructor(private readonly session: Session) {
    super();
  }

  async charge(entries: readonly QueueUsage[]): Promise<void> {
    if (entries.length > 0) await this.session.write(CHARGE, [JSON.stringify(entries)]);
  }

  async since(day: string, tenantId?: string): Promise<QueueUsage[]> {
    if (tenantId !== undefined && !isId(tenantId)) return [];
    return this.session.rows<QueueUsage>(SINCE, [day, tenantId ?? null]);
  }
}

// Summed first: one statement cannot add to the same row twice. In order, so that two chargers cannot wait in a ring.
const CHARGE = `
  INSERT INTO queue_usage AS held (tenant_id, queue_id, device_type, day,
    job_device_seconds, serving_device_seconds, lost_device_seconds)
  SELECT "tenantId", "queueId", "deviceType", day,
    sum("jobDeviceSeconds"), sum("servingDeviceSeconds"), sum("lostDeviceSeconds")
  FROM jsonb_to_recordset($1::jsonb) AS entry ("tenantId" uuid, "queueId" uuid, "deviceType" text, day date,
    "jobDeviceSeconds" double precision, "servingDeviceSeconds" double precision,
    "lostDeviceSeconds" double precision)
  GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
  ON CONFLICT (tenant_id, queue_id, device_type, day) DO UPDATE SET
    job_device_seconds = held.job_device_seconds + excluded.job_device_seconds,
    serving_device_seconds = held.serving_device_seconds + excluded.serving_device_seconds,
    lost_device_seconds = held.lost_device_seconds + excluded.lost_device_seconds`;

const SINCE = `
  SELECT tenant_id AS "tenantId", queue_id AS "queueId", device_type AS "deviceType", day::text AS day,
    job_device_seconds AS "jobDeviceSeconds", serving_device_seconds AS "servingDeviceSeconds",
    lost_device_seconds AS "lostDeviceSeconds"
  FROM queue_usage WHERE day >= $1::date AND ($2::uuid IS NULL OR tenant_id = $2)
  ORDER BY queue_usage.day, tenant_id, queue_id, device_type`;
