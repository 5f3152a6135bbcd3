export { type EventuallyOptions, eventually } from './conditions.ts';
export { createTestDatabase, type TestDatabase } from './database.ts';
export * from './jobs.builders.ts';
export { llamaServerProgram } from './llama-server.ts';
export * from './nats-server.ts';
export { type PostgresServer, startPostgres } from './postgres-server.ts';
export { propertyRuns } from './property-runs.ts';
export { startStopwatch } from './stopwatch.ts';
