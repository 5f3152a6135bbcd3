import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The outline of a desired document stands with it, and the revision that it is of: a control plane of an older release
 * that writes the row beside newer ones leaves both as they were, and the revision tells. Null where nobody has made it.
 */
export class DesiredOutline1795467000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      ALTER TABLE desired_states ADD COLUMN outline jsonb;
      ALTER TABLE desired_states ADD COLUMN outline_revision bigint;
    `);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`ALTER TABLE desired_states DROP COLUMN outline, DROP COLUMN outline_revision`);
  }
}
