import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the installation's clock is ahead of the database's, which may have jumped (ADR 25). */
export class LeaderClock1795465000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE leader ADD COLUMN clock_ahead_ms bigint NOT NULL DEFAULT 0');
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE leader DROP COLUMN clock_ahead_ms');
  }
}
