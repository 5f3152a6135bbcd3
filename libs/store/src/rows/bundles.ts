import { type BundleContent, BundleRows, type ClusterPhase, type IssuedBundle, isMember } from '#domain';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresBundleRows extends BundleRows {
  constructor(private readonly session: Session) {
    super();
  }

  async head(clusterId: string): Promise<{ source: string; issued: IssuedBundle | null; nowMs: number } | null> {
    if (!isId(clusterId)) return null;
    const [row] = await this.session.rows<HeadRow>(HEAD, [clusterId]);
    if (row === undefined || !isMember(row.phase)) return null;
    const { source, now, issued } = row;
    const bundle = issued === null ? null : { ...issued, issuedAt: new Date(issued.issuedAt) };
    return { source, nowMs: now.getTime(), issued: bundle };
  }

  async lock(clusterId: string): Promise<void> {
    await this.session.write(LOCK, [clusterId]);
  }

  async content(clusterId: string): Promise<BundleContent> {
    const [row] = await this.session.rows<BundleContent>(CONTENT, [clusterId]);
    return row!;
  }

  async issue(
    clusterId: string,
    { source, contentHash, tenantIds }: { source: string; contentHash: string; tenantIds: readonly string[] },
    reissueAfterSeconds: number,
  ): Promise<{ sequence: number; issuedAt: Date }> {
    const parameters = [clusterId, source, contentHash, reissueAfterSeconds, [...tenantIds]];
    const { rows } = await this.session.write<{ sequence: number; issuedAt: Date }>(ISSUE, parameters);
    return rows[0]!;
  }

  async noteText(clusterId: string, textHash: string): Promise<void> {
    await this.session.write('UPDATE offline_bundles SET text_hash = $2 WHERE cluster_id = $1', [clusterId, textHash]);
  }
}

interface HeadRow {
  readonly phase: ClusterPhase;
  readonly source: string;
  readonly now: Date;
  readonly issued: (Omit<IssuedBundle, 'issuedAt'> & { readonly issuedAt: string }) | null;
}

const SOURCE = `(SELECT version FROM bundle_source) || ' ' || coalesce(desired.epoch || '.' || desired.revision, '0')`;

const HEAD = `
  SELECT cluster.phase, ${SOURCE} AS source, now() AS now,
    CASE WHEN bundle.cluster_id IS NOT NULL THEN jsonb_build_object('sequence', bundle.sequence,
      'issuedAt', bundle.issued_at, 'source', bundle.source, 'textHash', bundle.text_hash) END AS issued
  FROM clusters cluster
  LEFT JOIN desired_states desired ON desired.cluster_id = cluster.id
  LEFT JOIN offline_bundles bundle ON bundle.cluster_id = cluster.id
  WHERE cluster.id = $1`;

const LOCK = `SELECT pg_advisory_xact_lock(hashtextextended('offline bundle ' || $1, 0))`;

/**
 * Deployments: those with a replica in the cluster's desired document, each with the version that it wants if that is
 * there, else the newest that is. Keys: of their tenants, in force, whose role may infer. All in order of id: equal rows
 * give an equal text.
 */
const CONTENT = `
  WITH replicas AS (
    SELECT (replica ->> 'deploymentId')::uuid AS deployment_id, replica ->> 'versionDigest' AS digest,
      replica -> 'adapters' AS adapters, replica -> 'routing' AS routing
    FROM desired_states, jsonb_array_elements(replicas) replica WHERE cluster_id = $1
  ),
  served AS (
    SELECT DISTINCT ON (deployment.id) deployment.id, deployment.tenant_id, deployment.name, deployment.served_model,
      deployment.created_at, replicas.digest, version.number, replicas.adapters, replicas.routing
    FROM replicas
    JOIN deployments deployment ON deployment.id = replicas.deployment_id AND deployment.deleted_at IS NULL
    JOIN model_versions version ON version.model_id = deployment.model_id AND version.digest = replicas.digest
    ORDER BY deployment.id, version.id = deployment.version_id DESC, version.number DESC
  ),
  keys AS (
    SELECT * FROM api_keys
    WHERE tenant_id IN (SELECT tenant_id FROM served) AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > now()) AND role <> 'viewer'
  ),
  charged AS (
    SELECT * FROM budgets
    WHERE tenant_id IN (SELECT tenant_id FROM served)
      AND (key_public_id IS NULL OR key_public_id IN (SELECT public_id FROM keys))
  )
  SELECT ${SOURCE} AS source,
    (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'publicId', public_id, 'offlineHash', offline_hash, 'tenantId', tenant_id, 'role', role, 'models', models,
        'expiresAtMs', floor(extract(epoch FROM expires_at) * 1000)::bigint,
        'budgetIds', (
          SELECT coalesce(jsonb_agg(charged.id ORDER BY charged.id), '[]') FROM charged
          WHERE charged.tenant_id = keys.tenant_id
            AND (charged.key_public_id IS NULL OR charged.key_public_id = keys.public_id)
        )
      ) ORDER BY public_id), '[]') FROM keys
    ) AS keys,
    (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'deploymentId', id, 'tenantId', tenant_id, 'name', name, 'servedModel', served_model,
        'versionDigest', digest, 'versionNumber', number, 'adapters', coalesce(adapters, '[]'), 'routing', routing,
        'createdAtSeconds', floor(extract(epoch FROM created_at))::bigint
      ) ORDER BY id), '[]') FROM served
    ) AS deployments,
    (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'name', name, 'limitTokens', limit_tokens, 'period', period
      ) ORDER BY id), '[]') FROM charged
    ) AS budgets
  FROM (SELECT $1::uuid AS cluster_id) this LEFT JOIN desired_states desired ON desired.cluster_id = this.cluster_id`;

const ISSUE = `
  INSERT INTO offline_bundles AS bundle
    (cluster_id, tenant_id, sequence, tenant_ids, source, content_hash, text_hash, issued_at)
  SELECT id, tenant_id, floor(extract(epoch FROM now()) * 1000)::bigint, $5::uuid[], $2, $3, '',
    date_trunc('milliseconds', now())
  FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET source = excluded.source, content_hash = excluded.content_hash,
    tenant_ids = ARRAY(SELECT DISTINCT unnest(bundle.tenant_ids || excluded.tenant_ids) ORDER BY 1),
    sequence = CASE WHEN bundle.content_hash = excluded.content_hash
        AND bundle.issued_at >= now() - make_interval(secs => $4)
      THEN bundle.sequence ELSE greatest(bundle.sequence + 1, excluded.sequence) END,
    issued_at = CASE WHEN bundle.content_hash = excluded.content_hash
        AND bundle.issued_at >= now() - make_interval(secs => $4)
      THEN bundle.issued_at ELSE excluded.issued_at END
  RETURNING sequence::double precision AS sequence, issued_at AS "issuedAt"`;
