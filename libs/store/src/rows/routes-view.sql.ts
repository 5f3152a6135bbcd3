/**
 * What gateways route from, as one jsonb `view` in one statement and so from one snapshot.
 *
 * Keys: neither revoked nor expired. Clusters: members (not PendingApproval, not Left). Deployments: not being deleted;
 * replicas: live placements in member clusters. A replica is ready when its cluster's newest report says that it is
 * Ready with its placement's version digest; a draining one only while no assigned one of its deployment is ready, so
 * that a replacement takes over without a gap. Everything is ordered by id: equal rows give an equal view.
 */
export const BUILD_VIEW = `
  WITH reported AS (
    SELECT observation.cluster_id, replica ->> 'replicaId' AS replica_id, replica ->> 'versionDigest' AS digest
    FROM observations observation, jsonb_array_elements(observation.report -> 'replicas') replica
    WHERE replica ->> 'phase' = 'Ready'
  ),
  replicas AS (
    SELECT placement.id, placement.deployment_id, placement.cluster_id, placement.phase, version.digest,
      reported.replica_id IS NOT NULL AS serves
    FROM placements placement
    JOIN clusters cluster ON cluster.id = placement.cluster_id AND cluster.phase NOT IN ('PendingApproval', 'Left')
    JOIN model_versions version ON version.id = placement.version_id
    LEFT JOIN reported ON reported.cluster_id = placement.cluster_id
      AND reported.replica_id = placement.id::text AND reported.digest = version.digest
    WHERE placement.phase <> 'Removed'
  ),
  replaced AS (
    SELECT deployment_id, bool_or(phase = 'Assigned' AND serves) AS assigned_serves FROM replicas GROUP BY deployment_id
  ),
  replica_lists AS (
    SELECT replicas.deployment_id, jsonb_agg(jsonb_build_object(
      'replicaId', replicas.id,
      'clusterId', replicas.cluster_id,
      'versionDigest', replicas.digest,
      'ready', replicas.serves AND (replicas.phase = 'Assigned' OR NOT replaced.assigned_serves)
    ) ORDER BY replicas.id) AS list
    FROM replicas JOIN replaced USING (deployment_id) GROUP BY replicas.deployment_id
  )
  SELECT jsonb_build_object(
    'keys', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'publicId', public_id, 'secretHash', secret_hash, 'tenantId', tenant_id, 'role', role, 'models', models,
        'expiresAtMs', floor(extract(epoch FROM expires_at) * 1000)::bigint
      ) ORDER BY public_id), '[]')
      FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ),
    'clusters', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', cluster.id, 'name', cluster.name, 'kind', cluster.kind, 'region', cluster.region,
        'phase', cluster.phase, 'endpoint', observation.report ->> 'endpoint', 'publicKey', cluster.public_key
      ) ORDER BY cluster.id), '[]')
      FROM clusters cluster LEFT JOIN observations observation ON observation.cluster_id = cluster.id
      WHERE cluster.phase NOT IN ('PendingApproval', 'Left')
    ),
    'deployments', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', deployment.id, 'tenantId', deployment.tenant_id, 'name', deployment.name,
        'servedModel', deployment.served_model, 'versionDigest', version.digest,
        'createdAtSeconds', floor(extract(epoch FROM deployment.created_at))::bigint,
        'replicas', coalesce(replica_lists.list, '[]')
      ) ORDER BY deployment.id), '[]')
      FROM deployments deployment
      JOIN model_versions version ON version.id = deployment.version_id
      LEFT JOIN replica_lists ON replica_lists.deployment_id = deployment.id
      WHERE deployment.deleted_at IS NULL AND version.digest IS NOT NULL
    )
  ) AS view`;
