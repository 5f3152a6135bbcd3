import type { MigrationInterface, QueryRunner } from 'typeorm';

const DEFAULT_TENANT = '00000000-0000-7000-8000-000000000001';

/** Tables whose every change wakes those who act on intent, respectively on what clusters report. */
const INTENT_TABLES = ['clusters', 'revocations', 'api_keys', 'model_versions', 'deployments', 'placements'] as const;

/** The first schema: clusters, models, deployments, keys, the leader's row, outbox, inbox, audit. */
export class Initial1795440000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statements of [TENANTS, CLUSTERS, KEYS, MODELS, DEPLOYMENTS, OBSERVED, MESSAGES, HISTORY, LEADER]) {
      await queryRunner.query(statements);
    }
    await queryRunner.query(NOTIFICATIONS);
    for (const table of INTENT_TABLES) await queryRunner.query(intentTriggers(table));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP TABLE routes_view, leader, decisions, audit_entries, idempotency_answers, inbox, outbox, desired_states,
        observations, placements, deployments, model_versions, models, join_tokens, api_keys, revocations, clusters,
        tenants;
      DROP FUNCTION notify_intent, notify_observation, notify_outbox, refuse_change;
    `);
  }
}

const TENANTS = `
  CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT tenants_name_unique UNIQUE (name)
  );
  INSERT INTO tenants (id, name, created_at) VALUES ('${DEFAULT_TENANT}', 'default', now());
`;

// A name or a key belongs to one cluster that has not left: a live one can never be taken over (S2).
const CLUSTERS = `
  CREATE TABLE clusters (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    region text NOT NULL,
    zone text NOT NULL,
    labels jsonb NOT NULL,
    public_key text NOT NULL,
    phase text NOT NULL,
    cordoned boolean NOT NULL,
    phase_since timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT clusters_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT clusters_kind_check CHECK (kind IN ('central', 'edge')),
    CONSTRAINT clusters_phase_check
      CHECK (phase IN ('PendingApproval', 'Ready', 'Suspect', 'Unknown', 'Draining', 'Left'))
  );
  CREATE UNIQUE INDEX clusters_name_unique ON clusters (tenant_id, name) WHERE phase <> 'Left';
  CREATE UNIQUE INDEX clusters_public_key_unique ON clusters (public_key) WHERE phase <> 'Left';
  CREATE INDEX clusters_public_key_index ON clusters (public_key);

  CREATE TABLE revocations (
    public_key text PRIMARY KEY,
    tenant_id uuid NOT NULL,
    cluster_id uuid NOT NULL,
    revoked_at timestamptz NOT NULL,
    CONSTRAINT revocations_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT revocations_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );
`;

const KEYS = `
  CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    public_id text NOT NULL,
    secret_hash text NOT NULL,
    role text NOT NULL,
    models jsonb,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT api_keys_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT api_keys_public_id_unique UNIQUE (public_id),
    CONSTRAINT api_keys_role_check CHECK (role IN ('owner', 'admin', 'operator', 'viewer', 'inference'))
  );
  CREATE UNIQUE INDEX api_keys_name_unique ON api_keys (tenant_id, name) WHERE revoked_at IS NULL;

  CREATE TABLE join_tokens (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    public_id text NOT NULL,
    secret_hash text NOT NULL,
    cluster_name text NOT NULL,
    kind text NOT NULL,
    region text NOT NULL,
    zone text NOT NULL,
    labels jsonb NOT NULL,
    pre_approved boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    used_by_cluster_id uuid,
    created_at timestamptz NOT NULL,
    CONSTRAINT join_tokens_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT join_tokens_cluster_fk FOREIGN KEY (used_by_cluster_id) REFERENCES clusters (id),
    CONSTRAINT join_tokens_public_id_unique UNIQUE (public_id),
    CONSTRAINT join_tokens_kind_check CHECK (kind IN ('central', 'edge'))
  );
`;

const MODELS = `
  CREATE TABLE models (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT models_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT models_name_unique UNIQUE (tenant_id, name)
  );

  CREATE TABLE model_versions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    model_id uuid NOT NULL,
    number integer NOT NULL,
    phase text NOT NULL,
    digest text,
    size_bytes bigint NOT NULL,
    files jsonb NOT NULL,
    notes text NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    CONSTRAINT model_versions_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT model_versions_model_fk FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE CASCADE,
    CONSTRAINT model_versions_number_unique UNIQUE (model_id, number),
    CONSTRAINT model_versions_phase_check CHECK (phase IN ('Uploading', 'Published', 'Abandoned')),
    CONSTRAINT model_versions_published_check
      CHECK (phase <> 'Published' OR (digest IS NOT NULL AND published_at IS NOT NULL))
  );
  CREATE INDEX model_versions_uploading_index ON model_versions (created_at) WHERE phase = 'Uploading';
`;

const DEPLOYMENTS = `
  CREATE TABLE deployments (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    model_id uuid NOT NULL,
    version_id uuid NOT NULL,
    served_model text NOT NULL,
    replicas integer NOT NULL,
    claim jsonb NOT NULL,
    selector jsonb NOT NULL,
    disconnect jsonb NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT deployments_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT deployments_model_fk FOREIGN KEY (model_id) REFERENCES models (id),
    CONSTRAINT deployments_version_fk FOREIGN KEY (version_id) REFERENCES model_versions (id),
    CONSTRAINT deployments_name_unique UNIQUE (tenant_id, name),
    CONSTRAINT deployments_replicas_check CHECK (replicas >= 0)
  );
  CREATE INDEX deployments_version_index ON deployments (version_id);
  CREATE INDEX deployments_model_index ON deployments (model_id);

  CREATE TABLE placements (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    cluster_id uuid NOT NULL,
    version_id uuid NOT NULL,
    claim jsonb NOT NULL,
    phase text NOT NULL,
    epoch bigint NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    phase_since timestamptz NOT NULL,
    CONSTRAINT placements_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT placements_deployment_fk FOREIGN KEY (deployment_id) REFERENCES deployments (id) ON DELETE CASCADE,
    CONSTRAINT placements_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id),
    CONSTRAINT placements_version_fk FOREIGN KEY (version_id) REFERENCES model_versions (id),
    CONSTRAINT placements_phase_check CHECK (phase IN ('Assigned', 'Draining', 'Removed'))
  );
  CREATE INDEX placements_deployment_index ON placements (deployment_id, phase);
  CREATE INDEX placements_cluster_index ON placements (cluster_id) WHERE phase <> 'Removed';
  CREATE INDEX placements_version_index ON placements (version_id);
`;

const OBSERVED = `
  CREATE TABLE observations (
    cluster_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    report jsonb NOT NULL,
    content_hash text NOT NULL,
    replaced_boots jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT observations_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT observations_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );

  CREATE TABLE desired_states (
    cluster_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    content_hash text NOT NULL,
    versions jsonb NOT NULL,
    replicas jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT desired_states_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT desired_states_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );
`;

const MESSAGES = `
  CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX outbox_subject_index ON outbox (subject, id);

  CREATE TABLE inbox (
    cluster_id uuid NOT NULL,
    message_id text NOT NULL,
    tenant_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (cluster_id, message_id),
    CONSTRAINT inbox_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT inbox_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );
  CREATE INDEX inbox_received_index ON inbox (received_at);

  CREATE TABLE idempotency_answers (
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    status integer,
    body jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key),
    CONSTRAINT idempotency_answers_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id)
  );
  CREATE INDEX idempotency_answers_created_index ON idempotency_answers (created_at);
`;

// What was done is never rewritten: not even by someone who holds the application's own connection.
const HISTORY = `
  CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target_kind text NOT NULL,
    target_id text NOT NULL,
    detail jsonb NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT audit_entries_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id)
  );
  CREATE INDEX audit_entries_tenant_index ON audit_entries (tenant_id, id);
  CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END $$;
  CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
  CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

  CREATE TABLE decisions (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    epoch bigint NOT NULL,
    inputs_hash text NOT NULL,
    candidates jsonb NOT NULL,
    outcome text NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT decisions_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT decisions_subject_kind_check CHECK (subject_kind IN ('deployment'))
  );
  CREATE INDEX decisions_subject_index ON decisions (subject_id, id);
`;

// One row each; the check keeps it one.
const LEADER = `
  CREATE TABLE leader (
    single boolean PRIMARY KEY DEFAULT true,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT leader_single_check CHECK (single)
  );
  INSERT INTO leader (epoch, holder, since) VALUES (0, '', now());

  CREATE TABLE routes_view (
    single boolean PRIMARY KEY DEFAULT true,
    sequence bigint NOT NULL,
    content_hash text NOT NULL,
    view jsonb NOT NULL,
    CONSTRAINT routes_view_single_check CHECK (single)
  );
  INSERT INTO routes_view (sequence, content_hash, view)
    VALUES (0, '', '{"keys": [], "clusters": [], "deployments": []}');
`;

// Postgres folds equal notifications of one transaction into one, so row triggers cost the listener nothing.
const NOTIFICATIONS = `
  CREATE FUNCTION notify_intent() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM pg_notify('atoll_intent', ''); RETURN NULL; END $$;
  CREATE FUNCTION notify_observation() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM pg_notify('atoll_observation', ''); RETURN NULL; END $$;
  CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM pg_notify('atoll_outbox', ''); RETURN NULL; END $$;

  CREATE TRIGGER observations_notify_insert AFTER INSERT ON observations
    FOR EACH ROW EXECUTE FUNCTION notify_observation();
  CREATE TRIGGER observations_notify_update AFTER UPDATE ON observations
    FOR EACH ROW WHEN (OLD.content_hash IS DISTINCT FROM NEW.content_hash) EXECUTE FUNCTION notify_observation();
  CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION notify_outbox();
`;

/** A write that changes nothing notifies nobody: a loop that writes what it finds would wake itself for ever. */
function intentTriggers(table: string): string {
  return `
    CREATE TRIGGER ${table}_notify AFTER INSERT OR DELETE ON ${table}
      FOR EACH ROW EXECUTE FUNCTION notify_intent();
    CREATE TRIGGER ${table}_notify_update AFTER UPDATE ON ${table}
      FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION notify_intent();
  `;
}
