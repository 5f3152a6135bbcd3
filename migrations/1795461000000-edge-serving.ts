import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How deployments are served inside clusters, drains, agents ahead of a restored database, and conflicts. */
export class EdgeServing1795461000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statements of [SERVING, CLUSTERS, CONFLICTS]) await queryRunner.query(statements);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP TABLE cluster_conflicts;
      ALTER TABLE clusters DROP COLUMN drain, DROP COLUMN ahead;
      UPDATE deployments SET disconnect = disconnect - 'replace';
      ALTER TABLE deployments DROP COLUMN serving;
    `);
  }
}

// What every deployment did before it could be said otherwise. Written out: the defaults of the code may change.
const SERVING = `
  ALTER TABLE deployments ADD COLUMN serving jsonb NOT NULL DEFAULT '{
    "engine": null,
    "routing": {
      "pick": "predicted-first-token", "spillMs": 100, "spillRatio": 0.5, "prefixHitMin": 0.8, "explorationShare": 0.01
    },
    "localScaling": null,
    "nodes": { "required": {}, "preferred": {} },
    "adapters": []
  }';
  ALTER TABLE deployments ALTER COLUMN serving DROP DEFAULT;
  UPDATE deployments SET disconnect = disconnect || '{ "replace": "elsewhere" }';
`;

const CLUSTERS = `
  ALTER TABLE clusters ADD COLUMN drain jsonb, ADD COLUMN ahead jsonb;
`;

const CONFLICTS = `
  CREATE TABLE cluster_conflicts (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    cluster_id uuid NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    resolution text,
    revision bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CONSTRAINT cluster_conflicts_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT cluster_conflicts_cluster_fk FOREIGN KEY (cluster_id) REFERENCES clusters (id),
    CONSTRAINT cluster_conflicts_resolved_check CHECK ((resolution IS NULL) = (resolved_at IS NULL))
  );
  CREATE UNIQUE INDEX cluster_conflicts_open_unique ON cluster_conflicts (cluster_id, kind, subject)
    WHERE resolved_at IS NULL;
  CREATE INDEX cluster_conflicts_cluster_index ON cluster_conflicts (cluster_id, opened_at);
  CREATE INDEX cluster_conflicts_resolved_index ON cluster_conflicts (resolved_at) WHERE resolved_at IS NOT NULL;
`;
