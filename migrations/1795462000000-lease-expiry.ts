import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The leader asks every minute which leases are due; those that ended, which are kept for weeks, are none of its business. */
export class LeaseExpiry1795462000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE INDEX budget_leases_due_index ON budget_leases (expires_at) WHERE phase = 'Active';
    `);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP INDEX budget_leases_due_index');
  }
}
