import type { MigrationInterface, QueryRunner } from 'typeorm';

const CENTRAL_SYNC = `{"mode": "snapshot", "cron": "0 2 * * *", "windows": [], "timeZone": "UTC", "bytesPerSecondMax": null}`;
const EDGE_SYNC = `{"mode": "incremental", "cron": "0 3 * * *", "windows": [], "timeZone": "UTC", "bytesPerSecondMax": null}`;
const MODEL_POLICY = `{"snapshotCron": "30 1 * * *", "keepVersions": 10, "keepDays": 30}`;
const ROLLOUT_POLICY = `{
  "waves": [{"percent": 100, "soakSeconds": 0, "pauseAfter": false}],
  "abort": {"errorRateAbove": 0.05, "firstByteRatioAbove": 3, "requestsMin": 20, "failedStarts": 3},
  "consistency": "rolling"
}`;

/** Encodings of versions, aliases, rollouts, sync policies and the claims of site groups. */
export class ModelSync1795446000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statements of [COLUMNS, ALIASES, ARTIFACTS, ROLLOUTS, CLAIMS, NOTIFICATIONS]) {
      await queryRunner.query(statements);
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP TABLE sync_claims, rollouts, version_artifacts, alias_moves, model_aliases;
      ALTER TABLE deployments DROP COLUMN alias, DROP COLUMN rollout;
      ALTER TABLE model_versions
        DROP CONSTRAINT model_versions_parent_fk,
        DROP CONSTRAINT model_versions_phase_check,
        DROP COLUMN parent_id, DROP COLUMN metadata, DROP COLUMN signature;
      UPDATE model_versions SET phase = 'Abandoned' WHERE phase = 'Retired';
      ALTER TABLE model_versions
        ADD CONSTRAINT model_versions_phase_check CHECK (phase IN ('Uploading', 'Published', 'Abandoned'));
      ALTER TABLE models DROP COLUMN policy;
      ALTER TABLE clusters DROP COLUMN sync;
    `);
  }
}

/** What is there already gets the defaults of the day on which it was migrated. */
const COLUMNS = `
  ALTER TABLE clusters ADD COLUMN sync jsonb;
  UPDATE clusters SET sync = CASE kind WHEN 'central' THEN '${CENTRAL_SYNC}'::jsonb ELSE '${EDGE_SYNC}'::jsonb END;
  ALTER TABLE clusters ALTER COLUMN sync SET NOT NULL;

  ALTER TABLE models ADD COLUMN policy jsonb;
  UPDATE models SET policy = '${MODEL_POLICY}'::jsonb;
  ALTER TABLE models ALTER COLUMN policy SET NOT NULL;

  ALTER TABLE model_versions
    ADD COLUMN parent_id uuid,
    ADD COLUMN metadata jsonb,
    ADD COLUMN signature jsonb,
    ADD CONSTRAINT model_versions_parent_fk FOREIGN KEY (parent_id) REFERENCES model_versions (id) ON DELETE SET NULL,
    DROP CONSTRAINT model_versions_phase_check;
  UPDATE model_versions SET metadata = '{}'::jsonb;
  ALTER TABLE model_versions
    ALTER COLUMN metadata SET NOT NULL,
    ADD CONSTRAINT model_versions_phase_check CHECK (phase IN ('Uploading', 'Published', 'Abandoned', 'Retired'));

  ALTER TABLE deployments ADD COLUMN alias text, ADD COLUMN rollout jsonb;
  UPDATE deployments SET rollout = '${ROLLOUT_POLICY}'::jsonb;
  ALTER TABLE deployments ALTER COLUMN rollout SET NOT NULL;
`;

const ALIASES = `
  CREATE TABLE model_aliases (
    model_id uuid NOT NULL,
    name text NOT NULL,
    tenant_id uuid NOT NULL,
    version_id uuid NOT NULL,
    moved_at timestamptz NOT NULL,
    PRIMARY KEY (model_id, name),
    CONSTRAINT model_aliases_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT model_aliases_model_fk FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE CASCADE,
    CONSTRAINT model_aliases_version_fk FOREIGN KEY (version_id) REFERENCES model_versions (id) ON DELETE CASCADE
  );
  CREATE INDEX model_aliases_version_index ON model_aliases (version_id);

  CREATE TABLE alias_moves (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    model_id uuid NOT NULL,
    alias text NOT NULL,
    from_version_id uuid,
    to_version_id uuid,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT alias_moves_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT alias_moves_model_fk FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE CASCADE
  );
  CREATE INDEX alias_moves_model_index ON alias_moves (model_id, alias, id);
`;

const ARTIFACTS = `
  CREATE TABLE version_artifacts (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    model_id uuid NOT NULL,
    version_id uuid NOT NULL,
    base_version_id uuid,
    profile text NOT NULL,
    phase text NOT NULL,
    files jsonb NOT NULL,
    bytes bigint NOT NULL,
    reason text NOT NULL,
    wanted_at timestamptz NOT NULL,
    making_since timestamptz,
    ready_at timestamptz,
    used_at timestamptz NOT NULL,
    CONSTRAINT version_artifacts_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT version_artifacts_model_fk FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE CASCADE,
    CONSTRAINT version_artifacts_version_fk FOREIGN KEY (version_id) REFERENCES model_versions (id) ON DELETE CASCADE,
    CONSTRAINT version_artifacts_base_fk FOREIGN KEY (base_version_id) REFERENCES model_versions (id) ON DELETE CASCADE,
    CONSTRAINT version_artifacts_profile_check CHECK (profile IN ('fast', 'small', 'snapshot')),
    CONSTRAINT version_artifacts_phase_check CHECK (phase IN ('Wanted', 'Making', 'Ready', 'Failed')),
    CONSTRAINT version_artifacts_base_check CHECK ((profile = 'snapshot') = (base_version_id IS NULL))
  );
  CREATE UNIQUE INDEX version_artifacts_diff_unique ON version_artifacts (version_id, base_version_id, profile)
    WHERE base_version_id IS NOT NULL;
  CREATE UNIQUE INDEX version_artifacts_snapshot_unique ON version_artifacts (version_id) WHERE base_version_id IS NULL;
  CREATE INDEX version_artifacts_model_index ON version_artifacts (model_id);
  CREATE INDEX version_artifacts_wanted_index ON version_artifacts (wanted_at) WHERE phase = 'Wanted';
`;

// One active rollout a deployment, whoever begins it.
const ROLLOUTS = `
  CREATE TABLE rollouts (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    from_version_id uuid NOT NULL,
    to_version_id uuid NOT NULL,
    policy jsonb NOT NULL,
    phase text NOT NULL,
    wave integer NOT NULL,
    open_cluster_ids jsonb NOT NULL,
    is_open_to_all boolean NOT NULL,
    is_switched boolean NOT NULL,
    wave_since timestamptz NOT NULL,
    wave_ready_at timestamptz,
    reason text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT rollouts_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT rollouts_deployment_fk FOREIGN KEY (deployment_id) REFERENCES deployments (id) ON DELETE CASCADE,
    CONSTRAINT rollouts_from_fk FOREIGN KEY (from_version_id) REFERENCES model_versions (id),
    CONSTRAINT rollouts_to_fk FOREIGN KEY (to_version_id) REFERENCES model_versions (id),
    CONSTRAINT rollouts_phase_check
      CHECK (phase IN ('Progressing', 'Paused', 'Completed', 'Aborted', 'RolledBack', 'Superseded'))
  );
  CREATE UNIQUE INDEX rollouts_active_unique ON rollouts (deployment_id) WHERE phase IN ('Progressing', 'Paused');
  CREATE INDEX rollouts_deployment_index ON rollouts (deployment_id, id);
`;

const CLAIMS = `
  CREATE TABLE sync_claims (
    tenant_id uuid NOT NULL,
    site_group text NOT NULL,
    version_digest text NOT NULL,
    cluster_id uuid NOT NULL,
    bytes_have bigint NOT NULL,
    progressed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, site_group, version_digest),
    CONSTRAINT sync_claims_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT sync_claims_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );
`;

// A newly wanted artifact wakes its maker; the steps of making it interest nobody.
const NOTIFICATIONS = `
  CREATE TRIGGER rollouts_notify AFTER INSERT OR DELETE ON rollouts FOR EACH ROW EXECUTE FUNCTION notify_intent();
  CREATE TRIGGER rollouts_notify_update AFTER UPDATE ON rollouts
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION notify_intent();
  CREATE TRIGGER version_artifacts_notify AFTER INSERT ON version_artifacts
    FOR EACH ROW EXECUTE FUNCTION notify_intent();
`;
