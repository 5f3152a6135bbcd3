import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How many attempts in a row were lost before anything was saved. A control plane of an older release counts none. */
export class JobLosses1795470000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`ALTER TABLE jobs ADD COLUMN losses integer NOT NULL DEFAULT 0`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`ALTER TABLE jobs DROP COLUMN losses`);
  }
}
