export * from './errors.ts';
export { type HeldLease, type LeaseOptions, PostgresLeaderLease } from './lease.ts';
export { type MigrationResult, migrate } from './migrate.ts';
export { openStore, PostgresStore, type StoreOptions, TRANSACTION_ATTEMPTS_MAX } from './store.ts';
