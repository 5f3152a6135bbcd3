import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a tenant is made of, or could be made of again behind its removal. Jobs and deployments name a queue. */
const INTENT = ['api_keys', 'budgets', 'clusters', 'join_tokens', 'models', 'priority_classes', 'queues'] as const;

/**
 * Tenants can be removed. The row stays, for what its tenant did and used is kept and names it (the audit log is append
 * only), so no foreign key keeps anybody from making something in a tenant that is gone: a trigger does, which locks the
 * tenant's row as a foreign key would. Queues that are gone keep their name for as long as usage of them is kept.
 */
export class TenantRemoval1795469000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(TENANTS);
    await queryRunner.query(REMOVED_QUEUES);
    for (const table of INTENT) {
      await queryRunner.query(`
        CREATE TRIGGER ${table}_tenant_present BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION demand_tenant();
      `);
    }
  }

  /** Refuses while a removed tenant's name was given again. */
  async down(queryRunner: QueryRunner): Promise<void> {
    for (const table of INTENT) await queryRunner.query(`DROP TRIGGER ${table}_tenant_present ON ${table}`);
    await queryRunner.query(`
      DROP FUNCTION demand_tenant;
      DROP TABLE removed_queues;
      DROP INDEX tenants_name_unique;
      ALTER TABLE tenants ADD CONSTRAINT tenants_name_unique UNIQUE (name);
      ALTER TABLE tenants DROP COLUMN removed_at;
    `);
  }
}

const TENANTS = `
  ALTER TABLE tenants ADD COLUMN removed_at timestamptz;
  ALTER TABLE tenants DROP CONSTRAINT tenants_name_unique;
  CREATE UNIQUE INDEX tenants_name_unique ON tenants (name) WHERE removed_at IS NULL;

  CREATE FUNCTION demand_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM FROM tenants WHERE id = NEW.tenant_id AND removed_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'no tenant %', NEW.tenant_id USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'tenant_present';
    END IF;
    RETURN NEW;
  END $$;
`;

// Those that went before are called what the audit log says that they were called.
const REMOVED_QUEUES = `
  CREATE TABLE removed_queues (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    CONSTRAINT removed_queues_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id)
  );
  CREATE INDEX removed_queues_tenant_index ON removed_queues (tenant_id);
  INSERT INTO removed_queues (id, tenant_id, name)
    SELECT entry.target_id::uuid, entry.tenant_id, entry.detail ->> 'name' FROM audit_entries entry
    WHERE entry.action = 'queues.delete' AND entry.detail ->> 'name' IS NOT NULL AND EXISTS (
      SELECT FROM queue_usage used
      WHERE used.tenant_id = entry.tenant_id AND used.queue_id::text = entry.target_id)
    ON CONFLICT (id) DO NOTHING;
`;
