import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Over how many regions, zones or clusters replicas must lie. Null, as all that were there: wherever there is room. */
export class DeploymentSpread1795468000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`ALTER TABLE deployments ADD COLUMN spread jsonb`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`ALTER TABLE deployments DROP COLUMN spread`);
  }
}
