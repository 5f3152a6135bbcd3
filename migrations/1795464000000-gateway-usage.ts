import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What gateways told counts once, and a budget that changes changes what they route by. */
export class GatewayUsage1795464000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE gateway_usage (
        gateway_id uuid NOT NULL,
        message_id uuid NOT NULL,
        received_at timestamptz NOT NULL,
        PRIMARY KEY (gateway_id, message_id)
      );
      CREATE INDEX gateway_usage_received_index ON gateway_usage (received_at);
      CREATE TRIGGER budgets_notify AFTER INSERT OR DELETE ON budgets FOR EACH ROW EXECUTE FUNCTION notify_intent();
      CREATE TRIGGER budgets_notify_update AFTER UPDATE ON budgets
        FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION notify_intent();
    `);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      DROP TRIGGER budgets_notify ON budgets;
      DROP TRIGGER budgets_notify_update ON budgets;
      DROP TABLE gateway_usage;
    `);
  }
}
