/**
 * What gateways route from, as one jsonb `view` in one statement and so from one snapshot.
 *
 * Keys: neither revoked nor expired, each with the budgets that it is charged to. Clusters: members (not PendingApproval, not Left). Deployments: not being deleted;
 * replicas: live placements in member clusters. Everything is ordered by id: equal rows give an equal view.
 *
 * A replica is ready when its cluster's newest report says that it is Ready with its placement's version digest, and
 * - strict: it is of the one version that serves now: before the switch of an active rollout that is the old one, then
 *   the new one, without a rollout the wanted one; another one only while that one serves nowhere. It is also the
 *   deployment's `versionDigest`;
 * - it is not of a version that was just aborted, as soon as half of the wanted replicas serve the version before: what
 *   failed takes no more traffic while it is replaced;
 * - a draining one has not been replaced: in its own cluster, where its deployment has a replica of another version there,
 *   else anywhere. So a replacement takes over without a gap, whatever other clusters run.
 */
export const BUILD_VIEW = `
  WITH reported AS (
    SELECT observation.cluster_id, replica ->> 'replicaId' AS replica_id, replica ->> 'versionDigest' AS digest
    FROM observations observation, jsonb_array_elements(observation.report -> 'replicas') replica
    WHERE replica ->> 'phase' = 'Ready'
  ),
  replicas AS (
    SELECT placement.id, placement.deployment_id, placement.cluster_id, placement.version_id,
      placement.phase = 'Assigned' AS assigned, version.digest, version.number,
      reported.replica_id IS NOT NULL AS serves
    FROM placements placement
    JOIN clusters cluster ON cluster.id = placement.cluster_id AND cluster.phase NOT IN ('PendingApproval', 'Left')
    JOIN model_versions version ON version.id = placement.version_id
    LEFT JOIN reported ON reported.cluster_id = placement.cluster_id
      AND reported.replica_id = placement.id::text AND reported.digest = version.digest
    WHERE placement.phase <> 'Removed'
  ),
  -- What the newest rollout of each deployment says of its versions.
  rules AS (
    SELECT deployment.id AS deployment_id, deployment.replicas AS wanted, deployment.version_id AS goal_id,
      CASE WHEN rollout.phase = 'Aborted' AND rollout.from_version_id = deployment.version_id
        THEN rollout.to_version_id END AS aborted_id,
      CASE
        WHEN coalesce(CASE WHEN rollout.phase IN ('Progressing', 'Paused') THEN rollout.policy END, deployment.rollout)
          ->> 'consistency' IS DISTINCT FROM 'strict' THEN NULL
        WHEN rollout.phase IN ('Progressing', 'Paused') AND NOT rollout.is_switched THEN rollout.from_version_id
        ELSE deployment.version_id
      END AS strict_id
    FROM deployments deployment
    LEFT JOIN LATERAL (
      SELECT * FROM rollouts WHERE rollouts.deployment_id = deployment.id ORDER BY rollouts.id DESC LIMIT 1
    ) rollout ON true
    WHERE deployment.deleted_at IS NULL
  ),
  counted AS (
    SELECT deployment_id, version_id, count(*) AS serving FROM replicas WHERE serves AND assigned GROUP BY 1, 2
  ),
  -- only_id: the version that alone serves a strict deployment; null for a rolling one.
  serving AS (
    SELECT rules.*, coalesce(counted.serving, 0) AS goal_serving,
      CASE WHEN rules.strict_id IS NOT NULL THEN coalesce((
        SELECT replicas.version_id FROM replicas WHERE replicas.deployment_id = rules.deployment_id AND replicas.serves
        ORDER BY replicas.version_id = rules.strict_id DESC, replicas.assigned DESC, replicas.number DESC, replicas.id
        LIMIT 1
      ), rules.strict_id) END AS only_id
    FROM rules
    LEFT JOIN counted ON counted.deployment_id = rules.deployment_id AND counted.version_id = rules.goal_id
  ),
  judged AS (
    SELECT replicas.*,
      replicas.serves
        AND (serving.only_id IS NULL OR serving.only_id = replicas.version_id)
        AND (serving.aborted_id IS DISTINCT FROM replicas.version_id
          OR serving.goal_serving = 0 OR serving.goal_serving * 2 < serving.wanted) AS eligible
    FROM replicas JOIN serving USING (deployment_id)
  ),
  replica_lists AS (
    SELECT judged.deployment_id, jsonb_agg(jsonb_build_object(
      'replicaId', judged.id,
      'clusterId', judged.cluster_id,
      'versionDigest', judged.digest,
      'versionNumber', judged.number,
      'ready', CASE WHEN judged.assigned OR NOT judged.eligible THEN judged.eligible ELSE NOT coalesce((
        SELECT bool_or(other.eligible) FROM judged other
        WHERE other.deployment_id = judged.deployment_id AND other.cluster_id = judged.cluster_id
          AND other.version_id <> judged.version_id AND other.assigned
      ), (
        SELECT bool_or(other.eligible) FROM judged other
        WHERE other.deployment_id = judged.deployment_id AND other.assigned
      ), false) END
    ) ORDER BY judged.id) AS list
    FROM judged GROUP BY judged.deployment_id
  ),
  keys AS (
    SELECT * FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  ),
  charged AS (
    SELECT DISTINCT keys.public_id, budget.id, budget.name, budget.limit_tokens, budget.period
    FROM keys JOIN budgets budget ON budget.tenant_id = keys.tenant_id
      AND (budget.key_public_id IS NULL OR budget.key_public_id = keys.public_id)
    WHERE keys.role <> 'viewer'
  )
  SELECT jsonb_build_object(
    'keys', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'publicId', public_id, 'secretHash', secret_hash, 'tenantId', tenant_id, 'role', role, 'models', models,
        'expiresAtMs', floor(extract(epoch FROM expires_at) * 1000)::bigint,
        'budgetIds', (
          SELECT coalesce(jsonb_agg(charged.id ORDER BY charged.id), '[]') FROM charged
          WHERE charged.public_id = keys.public_id
        )
      ) ORDER BY public_id), '[]')
      FROM keys
    ),
    'budgets', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'name', name, 'limitTokens', limit_tokens, 'period', period
      ) ORDER BY id), '[]')
      FROM (SELECT DISTINCT id, name, limit_tokens, period FROM charged) budget
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
      ) || CASE WHEN deployment.serving -> 'adapters' = '[]' THEN '{}' ELSE jsonb_build_object(
        'adapters', jsonb_path_query_array(deployment.serving, '$.adapters[*].name')
      ) END ORDER BY deployment.id), '[]')
      FROM deployments deployment
      JOIN serving ON serving.deployment_id = deployment.id
      JOIN model_versions version ON version.id = coalesce(serving.only_id, deployment.version_id)
      LEFT JOIN replica_lists ON replica_lists.deployment_id = deployment.id
      WHERE deployment.deleted_at IS NULL AND version.digest IS NOT NULL
    )
  ) AS view`;
