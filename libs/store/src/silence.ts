import type { Logger } from 'typeorm';

/** TypeORM prints even where logging is off. What goes wrong is thrown, and logged once by whoever catches it. */
export class SilentLogger implements Logger {
  logQuery(): void {}
  logQueryError(): void {}
  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
