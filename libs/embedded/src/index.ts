// The servers that Atoll brings along so that one command is enough: Postgres, nats-server, and child processes with a
// bounded life. Used by the quickstart and the tests; production gives addresses instead.
export * from './errors.ts';
export * from './nats-server.ts';
export * from './ports.ts';
export * from './postgres.ts';
export * from './processes.ts';
