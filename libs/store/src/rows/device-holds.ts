import { DeviceHoldRows, type NodeDevices } from '#domain';
import type { Session } from '../session.ts';

interface Hold {
  readonly clusterId: string;
  readonly holderId: string;
  readonly devices: readonly NodeDevices[];
}

export class PostgresDeviceHoldRows extends DeviceHoldRows {
  constructor(private readonly session: Session) {
    super();
  }

  /**
   * Who comes second waits for the transaction of who came first. Devices are taken in the order of their names, so that
   * two takers wait for each other one way only.
   */
  async take(holds: readonly Hold[]): Promise<string[]> {
    if (holds.length === 0) return [];
    const { rows } = await this.session.write<{ holder_id: string; taken: object[] }>(TAKE, [JSON.stringify(holds)]);
    const partial = rows.flatMap(({ taken }) => taken);
    // A statement of its own: within the first one, what it inserted cannot be seen.
    if (partial.length > 0) await this.session.write(GIVE_BACK, [JSON.stringify(partial)]);
    return rows.map(({ holder_id }) => holder_id);
  }

  async release(holderIds: readonly string[]): Promise<void> {
    if (holderIds.length === 0) return;
    await this.session.write('DELETE FROM device_holds WHERE holder_id = ANY ($1::uuid[])', [[...holderIds]]);
  }

  async ofClusters(clusterIds: readonly string[]): Promise<Hold[]> {
    return clusterIds.length === 0 ? [] : this.session.rows<Hold>(OF_CLUSTERS, [[...clusterIds]]);
  }
}

// Returns those that miss a device, with what they were given of the others. A device that a holder names twice it misses.
const TAKE = `
  WITH wanted AS MATERIALIZED (
    SELECT (hold ->> 'clusterId')::uuid AS cluster_id, (hold ->> 'holderId')::uuid AS holder_id,
      bound ->> 'node' AS node, device_id, place
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY hold (hold, place),
      jsonb_array_elements(hold -> 'devices') bound, jsonb_array_elements_text(bound -> 'deviceIds') device_id
  ),
  taken AS (
    INSERT INTO device_holds (cluster_id, node, device_id, holder_id)
    SELECT cluster_id, node, device_id, holder_id FROM wanted ORDER BY cluster_id, node, device_id, place
    ON CONFLICT DO NOTHING
    RETURNING cluster_id, node, device_id, holder_id
  ),
  counted AS (SELECT holder_id, count(*) AS devices FROM taken GROUP BY holder_id),
  missing AS (
    SELECT holder_id FROM wanted LEFT JOIN counted USING (holder_id)
    GROUP BY holder_id, counted.devices HAVING count(*) <> coalesce(counted.devices, 0)
  )
  SELECT holder_id, coalesce(jsonb_agg(to_jsonb(taken)) FILTER (WHERE taken.node IS NOT NULL), '[]') AS taken
  FROM missing LEFT JOIN taken USING (holder_id) GROUP BY holder_id`;

const GIVE_BACK = `
  DELETE FROM device_holds
  USING jsonb_to_recordset($1::jsonb) AS given (cluster_id uuid, node text, device_id text, holder_id uuid)
  WHERE device_holds.cluster_id = given.cluster_id AND device_holds.node = given.node
    AND device_holds.device_id = given.device_id AND device_holds.holder_id = given.holder_id`;

const OF_CLUSTERS = `
  SELECT cluster_id AS "clusterId", holder_id AS "holderId",
    jsonb_agg(jsonb_build_object('node', node, 'deviceIds', device_ids) ORDER BY node) AS devices
  FROM (
    SELECT cluster_id, holder_id, node, jsonb_agg(device_id ORDER BY device_id) AS device_ids
    FROM device_holds WHERE cluster_id = ANY ($1::uuid[]) GROUP BY cluster_id, holder_id, node
  ) by_node
  GROUP BY cluster_id, holder_id ORDER BY cluster_id, holder_id`;
