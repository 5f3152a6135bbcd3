import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What the installation's clock is ahead of the database's, which may have jumped; and decisions are in order of epochs
 * before that of ids, which are by the clocks of those who led (ADR 25).
 */
export class LeaderClock1795465000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      ALTER TABLE leader ADD COLUMN clock_ahead_ms bigint NOT NULL DEFAULT 0;
      DROP INDEX decisions_subject_index;
      CREATE INDEX decisions_subject_index ON decisions (subject_id, epoch, id);
    `);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP INDEX decisions_subject_index;
      CREATE INDEX decisions_subject_index ON decisions (subject_id, id);
      ALTER TABLE leader DROP COLUMN clock_ahead_ms;
    `);
  }
}
