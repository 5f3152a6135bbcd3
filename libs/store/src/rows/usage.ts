import { type QueueHold, type QueueUsage, UsageRows } from '#domain';
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

  async held(tenantId: string, from: Date, to: Date): Promise<QueueHold[]> {
    return this.session.rows<QueueHold>(HELD, [tenantId, from, to]);
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

// Held from the moment that it was decided, whether or not a process runs yet: nobody else can have the devices.
const HELD = `
  WITH holders AS (
    SELECT job.queue_id, 'job' AS kind, attempt.claim ->> 'deviceType' AS device_type, attempt.created_at,
      (attempt.claim ->> 'count')::integer * jsonb_array_length(attempt.tasks) AS devices
    FROM attempts attempt JOIN jobs job ON job.id = attempt.job_id
    WHERE attempt.tenant_id = $1 AND attempt.phase <> 'Ended'
    UNION ALL
    SELECT deployment.queue_id, 'serving', placement.claim ->> 'deviceType', placement.created_at,
      (placement.claim ->> 'count')::integer
    FROM placements placement JOIN deployments deployment ON deployment.id = placement.deployment_id
    WHERE placement.tenant_id = $1 AND placement.phase <> 'Removed'
  )
  SELECT queue_id AS "queueId", kind, device_type AS "deviceType", count(*)::integer AS holders,
    sum(devices)::integer AS devices,
    sum(devices * greatest(0, extract(epoch FROM $3::timestamptz - greatest(created_at, $2::timestamptz))))
      ::double precision AS "deviceSeconds"
  FROM holders GROUP BY queue_id, kind, device_type ORDER BY queue_id, kind, device_type`;
