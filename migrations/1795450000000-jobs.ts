import type { MigrationInterface, QueryRunner } from 'typeorm';

const DEFAULT_TENANT = '00000000-0000-7000-8000-000000000001';
const DEFAULT_QUEUE = '00000000-0000-7000-8000-000000000002';

const FINAL_PHASES = `'Succeeded', 'Failed', 'Cancelled'`;

/** Tables that are written in batches, or whose writes may find nothing to do. */
const INTENT_TABLES = ['queues', 'priority_classes', 'jobs', 'attempts'] as const;

/** Jobs and their attempts, queues, priority classes, device holds, usage, and the documents that are owed to clusters. */
export class Jobs1795450000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statements of [TENANCY, JOBS, ATTEMPTS, HOLDS, HISTORY, OWED, COLUMNS, NOTIFY]) {
      await queryRunner.query(statements);
    }
    for (const table of INTENT_TABLES) await queryRunner.query(intentTriggers(table));
    await queryRunner.query(insertTrigger('owed_documents'));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DELETE FROM decisions WHERE subject_kind = 'job';
      ALTER TABLE decisions
        DROP COLUMN detail,
        DROP CONSTRAINT decisions_subject_kind_check,
        ADD CONSTRAINT decisions_subject_kind_check CHECK (subject_kind IN ('deployment'));
      ALTER TABLE desired_states DROP COLUMN tasks;
      ALTER TABLE placements DROP COLUMN devices;
      ALTER TABLE deployments DROP COLUMN queue_id, DROP COLUMN priority_class, DROP COLUMN priority;
      DROP TABLE owed_documents, queue_usage, job_events, device_holds, attempts, job_blobs, job_mounts, jobs,
        priority_classes, queues;
      DROP FUNCTION notify_intent_of_written;
    `);
  }
}

/** Every tenant there is gets the queue and the classes that a new one gets. */
const TENANCY = `
  CREATE TABLE queues (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    parent_id uuid,
    weight double precision NOT NULL,
    quota jsonb NOT NULL,
    borrowing_limit jsonb,
    lending_limit jsonb,
    ordering text NOT NULL,
    paused boolean NOT NULL,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT queues_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT queues_parent_fk FOREIGN KEY (parent_id) REFERENCES queues (id),
    CONSTRAINT queues_name_unique UNIQUE (tenant_id, name),
    CONSTRAINT queues_weight_check CHECK (weight >= 0),
    CONSTRAINT queues_ordering_check
      CHECK (ordering IN ('fcfs', 'static-priority', 'dynamic-weighted', 'class-shortest', 'c-mu'))
  );
  INSERT INTO queues (id, tenant_id, name, weight, quota, ordering, paused, created_at, revision)
    SELECT CASE id WHEN '${DEFAULT_TENANT}' THEN '${DEFAULT_QUEUE}'::uuid ELSE gen_random_uuid() END,
      id, 'default', 1, '{}', 'class-shortest', false, now(), 1
    FROM tenants;

  CREATE TABLE priority_classes (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    priority integer NOT NULL,
    preemption text NOT NULL,
    preemptible boolean NOT NULL,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT priority_classes_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT priority_classes_name_unique UNIQUE (tenant_id, name),
    CONSTRAINT priority_classes_priority_check CHECK (priority BETWEEN 0 AND 10),
    CONSTRAINT priority_classes_preemption_check CHECK (preemption IN ('lower-priority', 'never'))
  );
  INSERT INTO priority_classes (id, tenant_id, name, priority, preemption, preemptible, created_at, revision)
    SELECT gen_random_uuid(), tenants.id, class.name, priority, preemption, preemptible, now(), 1
    FROM tenants, (VALUES
      ('low', 2, 'never', true),
      ('normal', 5, 'lower-priority', true),
      ('high', 8, 'lower-priority', true),
      ('serving', 9, 'lower-priority', false),
      ('critical', 10, 'lower-priority', false)
    ) class (name, priority, preemption, preemptible);
`;

// A job has an expires_at while it is in a final phase. What steps towards its end changes no indexed column, so that an
// update touches no index. A mounted version is in use until the job ends, a noted blob until the job goes.
const JOBS = `
  CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    queue_id uuid NOT NULL,
    priority_class text NOT NULL,
    priority integer NOT NULL,
    preemption text NOT NULL,
    preemptible boolean NOT NULL,
    depends_on jsonb NOT NULL,
    spec jsonb NOT NULL,
    phase text NOT NULL,
    reason text NOT NULL,
    phase_since timestamptz NOT NULL,
    suspended boolean NOT NULL,
    cancel_requested_at timestamptz,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    preemptions integer NOT NULL,
    retry_at timestamptz,
    queued_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    expires_at timestamptz,
    ran_seconds double precision NOT NULL,
    used_device_seconds double precision NOT NULL,
    lost_device_seconds double precision NOT NULL,
    checkpoint jsonb,
    nomination jsonb,
    output_digest text,
    published_version_id uuid,
    created_at timestamptz NOT NULL,
    revision integer NOT NULL,
    CONSTRAINT jobs_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT jobs_queue_fk FOREIGN KEY (queue_id) REFERENCES queues (id),
    CONSTRAINT jobs_published_version_fk FOREIGN KEY (published_version_id) REFERENCES model_versions (id)
      ON DELETE SET NULL,
    CONSTRAINT jobs_name_unique UNIQUE (tenant_id, name),
    CONSTRAINT jobs_kind_check CHECK (kind IN ('fine-tune', 'batch-inference', 'evaluation', 'command')),
    CONSTRAINT jobs_preemption_check CHECK (preemption IN ('lower-priority', 'never')),
    CONSTRAINT jobs_phase_check CHECK (phase IN ('Waiting', 'Queued', 'Starting', 'Running', 'Stopping', 'Suspended',
      ${FINAL_PHASES})),
    CONSTRAINT jobs_expiry_check CHECK ((phase IN (${FINAL_PHASES})) = (expires_at IS NOT NULL))
  ) WITH (fillfactor = 70);
  CREATE INDEX jobs_tenant_index ON jobs (tenant_id, id);
  CREATE INDEX jobs_queue_index ON jobs (queue_id, id);
  CREATE INDEX jobs_active_index ON jobs (queue_id, id) WHERE expires_at IS NULL;
  CREATE INDEX jobs_nominated_index ON jobs (id) WHERE nomination IS NOT NULL;
  CREATE INDEX jobs_expiry_index ON jobs (expires_at) WHERE expires_at IS NOT NULL;
  CREATE INDEX jobs_published_version_index ON jobs (published_version_id) WHERE published_version_id IS NOT NULL;

  CREATE TABLE job_mounts (
    job_id uuid NOT NULL,
    version_id uuid NOT NULL,
    PRIMARY KEY (job_id, version_id),
    CONSTRAINT job_mounts_job_fk FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
    CONSTRAINT job_mounts_version_fk FOREIGN KEY (version_id) REFERENCES model_versions (id) ON DELETE CASCADE
  );
  CREATE INDEX job_mounts_version_index ON job_mounts (version_id);

  CREATE TABLE job_blobs (
    job_id uuid NOT NULL,
    digest text NOT NULL,
    PRIMARY KEY (job_id, digest),
    CONSTRAINT job_blobs_job_fk FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
  );
`;

// One live attempt a job, whoever begins it. cluster_ids are those of the tasks, for the question of one cluster. is_live
// is there so that a step towards the end changes no indexed column.
const ATTEMPTS = `
  CREATE TABLE attempts (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    epoch bigint NOT NULL,
    claim jsonb NOT NULL,
    tasks jsonb NOT NULL,
    cluster_ids uuid[] NOT NULL,
    phase text NOT NULL,
    is_live boolean NOT NULL,
    stop jsonb,
    outcome text,
    exit_code integer,
    reason text NOT NULL,
    resumed_from jsonb,
    lost_device_seconds double precision NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT attempts_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT attempts_job_fk FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
    CONSTRAINT attempts_number_unique UNIQUE (job_id, number),
    CONSTRAINT attempts_phase_check CHECK (phase IN ('Assigned', 'Running', 'Stopping', 'Ended')),
    CONSTRAINT attempts_outcome_check
      CHECK (outcome IN ('succeeded', 'failed', 'preempted', 'suspended', 'cancelled', 'lost')),
    CONSTRAINT attempts_live_check CHECK (is_live = (phase <> 'Ended'))
  ) WITH (fillfactor = 70);
  CREATE UNIQUE INDEX attempts_live_unique ON attempts (job_id) WHERE is_live;
  CREATE INDEX attempts_clusters_index ON attempts USING gin (cluster_ids) WHERE is_live;
`;

// No foreign keys: a batch of starts takes thousands of rows, and a holder lets go of its own by ending.
const HOLDS = `
  CREATE TABLE device_holds (
    cluster_id uuid NOT NULL,
    node text NOT NULL,
    device_id text NOT NULL,
    holder_id uuid NOT NULL,
    PRIMARY KEY (cluster_id, node, device_id)
  );
  CREATE INDEX device_holds_holder_index ON device_holds (holder_id);
`;

// What was used is kept when its queue goes: the tenant has used it.
const HISTORY = `
  CREATE TABLE job_events (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    attempt_id uuid,
    kind text NOT NULL,
    message text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT job_events_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT job_events_job_fk FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
  );
  CREATE INDEX job_events_job_index ON job_events (job_id, id);

  CREATE TABLE queue_usage (
    tenant_id uuid NOT NULL,
    queue_id uuid NOT NULL,
    device_type text NOT NULL,
    day date NOT NULL,
    job_device_seconds double precision NOT NULL,
    serving_device_seconds double precision NOT NULL,
    lost_device_seconds double precision NOT NULL,
    PRIMARY KEY (tenant_id, queue_id, device_type, day),
    CONSTRAINT queue_usage_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenants (id)
  );
  CREATE INDEX queue_usage_day_index ON queue_usage (day);
`;

// One row a debt and not a cluster: with one a cluster, whoever owes would wait for whoever pays, or its debt would be
// paid with a document from before it.
const OWED = `
  CREATE TABLE owed_documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster_id uuid NOT NULL
  );
  CREATE INDEX owed_documents_cluster_index ON owed_documents (cluster_id, id);
`;

const COLUMNS = `
  ALTER TABLE deployments ADD COLUMN queue_id uuid, ADD COLUMN priority_class text, ADD COLUMN priority integer;
  UPDATE deployments SET priority_class = 'serving', priority = 9, queue_id = queues.id
    FROM queues WHERE queues.tenant_id = deployments.tenant_id AND queues.name = 'default';
  ALTER TABLE deployments
    ALTER COLUMN queue_id SET NOT NULL,
    ALTER COLUMN priority_class SET NOT NULL,
    ALTER COLUMN priority SET NOT NULL,
    ADD CONSTRAINT deployments_queue_fk FOREIGN KEY (queue_id) REFERENCES queues (id);

  ALTER TABLE placements ADD COLUMN devices jsonb;

  ALTER TABLE desired_states ADD COLUMN tasks jsonb NOT NULL DEFAULT '[]';
  ALTER TABLE desired_states ALTER COLUMN tasks DROP DEFAULT;

  ALTER TABLE decisions
    ADD COLUMN detail jsonb,
    DROP CONSTRAINT decisions_subject_kind_check,
    ADD CONSTRAINT decisions_subject_kind_check CHECK (subject_kind IN ('deployment', 'job'));
`;

// Once a statement and not once a row: batches of starts write hundreds. A statement that wrote nothing notifies nobody.
const NOTIFY = `
  CREATE FUNCTION notify_intent_of_written() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF EXISTS (SELECT FROM written) THEN PERFORM pg_notify('atoll_intent', ''); END IF;
    RETURN NULL;
  END $$;
`;

function insertTrigger(table: string): string {
  return `
    CREATE TRIGGER ${table}_notify_insert AFTER INSERT ON ${table} REFERENCING NEW TABLE AS written
      FOR EACH STATEMENT EXECUTE FUNCTION notify_intent_of_written();
  `;
}

function intentTriggers(table: string): string {
  return `
    ${insertTrigger(table)}
    CREATE TRIGGER ${table}_notify_update AFTER UPDATE ON ${table} REFERENCING NEW TABLE AS written
      FOR EACH STATEMENT EXECUTE FUNCTION notify_intent_of_written();
    CREATE TRIGGER ${table}_notify_delete AFTER DELETE ON ${table} REFERENCING OLD TABLE AS written
      FOR EACH STATEMENT EXECUTE FUNCTION notify_intent_of_written();
  `;
}
