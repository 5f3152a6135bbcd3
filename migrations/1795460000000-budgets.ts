import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Budgets in tokens and the leases on them, what was served by day, and what clusters need to serve offline. */
export class Budgets1795460000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statements of [BUDGETS, LEASES, USAGE, BUNDLES]) await queryRunner.query(statements);
    for (const table of ['api_keys', 'budgets']) await queryRunner.query(sourceTrigger(table));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP TRIGGER api_keys_bundle_source ON api_keys;
      DROP TABLE offline_bundles, bundle_source, token_usage, lease_requests, budget_leases, budget_accounts, budgets;
      DROP FUNCTION bump_bundle_source;
      ALTER TABLE api_keys DROP COLUMN offline_hash;
    `);
  }
}

const BUDGETS = `
  CREATE TABLE budgets (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    key_public_id text,
    limit_tokens bigint NOT NULL,
    period text NOT NULL,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT budgets_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT budgets_key_fk FOREIGN KEY (key_public_id) REFERENCES api_keys (public_id),
    CONSTRAINT budgets_name_unique UNIQUE (tenant_id, name),
    CONSTRAINT budgets_limit_check CHECK (limit_tokens >= 0),
    CONSTRAINT budgets_period_check CHECK (period IN ('day', 'month', 'total'))
  );

  CREATE TABLE budget_accounts (
    budget_id uuid NOT NULL,
    period_key text NOT NULL,
    tenant_id uuid NOT NULL,
    spent_tokens bigint NOT NULL,
    overdraft_tokens bigint NOT NULL,
    PRIMARY KEY (budget_id, period_key),
    CONSTRAINT budget_accounts_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT budget_accounts_budget_fk FOREIGN KEY (budget_id) REFERENCES budgets (id) ON DELETE CASCADE
  );
`;

// The holder is no foreign key: gateways have no rows, and a cluster that left may have spent what it never told.
const LEASES = `
  CREATE TABLE budget_leases (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    budget_id uuid NOT NULL,
    holder_kind text NOT NULL,
    holder_id text NOT NULL,
    period_key text NOT NULL,
    granted_tokens bigint NOT NULL,
    spent_tokens bigint NOT NULL,
    phase text NOT NULL,
    is_returned boolean NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT budget_leases_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT budget_leases_budget_fk FOREIGN KEY (budget_id) REFERENCES budgets (id) ON DELETE CASCADE,
    CONSTRAINT budget_leases_holder_check CHECK (holder_kind IN ('cluster', 'gateway')),
    CONSTRAINT budget_leases_phase_check CHECK (phase IN ('Active', 'Expired', 'Ended'))
  ) WITH (fillfactor = 80);
  CREATE INDEX budget_leases_out_index ON budget_leases (budget_id, period_key) WHERE phase <> 'Ended';
  CREATE INDEX budget_leases_expiry_index ON budget_leases (expires_at);

  CREATE TABLE lease_requests (
    holder_kind text NOT NULL,
    holder_id text NOT NULL,
    request_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    lease_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (holder_kind, holder_id, request_id),
    CONSTRAINT lease_requests_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT lease_requests_lease_fk FOREIGN KEY (lease_id) REFERENCES budget_leases (id) ON DELETE CASCADE
  );
  CREATE INDEX lease_requests_lease_index ON lease_requests (lease_id);
  CREATE INDEX lease_requests_created_index ON lease_requests (created_at);
`;

// What was used is kept when its deployment or version goes: the tenant has used it.
const USAGE = `
  CREATE TABLE token_usage (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    key_public_id text NOT NULL,
    deployment_id uuid NOT NULL,
    served_model text NOT NULL,
    version_digest text NOT NULL,
    requests bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, key_public_id, deployment_id, served_model, version_digest),
    CONSTRAINT token_usage_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id)
  );
  CREATE INDEX token_usage_day_index ON token_usage (day);
`;

// One version for all that goes into bundles besides the desired documents, so that an unchanged one costs one look.
// tenant_ids: of all whose keys a cluster was ever given; of nobody else can it tell usage.
const BUNDLES = `
  ALTER TABLE api_keys ADD COLUMN offline_hash text;

  CREATE TABLE bundle_source (
    single boolean PRIMARY KEY DEFAULT true,
    version bigint NOT NULL,
    CONSTRAINT bundle_source_single_check CHECK (single)
  );
  INSERT INTO bundle_source (version) VALUES (0);

  CREATE TABLE offline_bundles (
    cluster_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    sequence bigint NOT NULL,
    tenant_ids uuid[] NOT NULL,
    source text NOT NULL,
    content_hash text NOT NULL,
    text_hash text NOT NULL,
    issued_at timestamptz NOT NULL,
    CONSTRAINT offline_bundles_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT offline_bundles_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id)
  );

  CREATE FUNCTION bump_bundle_source() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE bundle_source SET version = version + 1;
    RETURN NULL;
  END $$;
`;

function sourceTrigger(table: string): string {
  return `
    CREATE TRIGGER ${table}_bundle_source AFTER INSERT OR UPDATE OR DELETE ON ${table}
      FOR EACH STATEMENT EXECUTE FUNCTION bump_bundle_source();
  `;
}
