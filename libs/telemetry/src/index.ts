// Metrics, logs, health, shutdown and the machine's own time: what every process has and none should write again.
export * from './health.ts';
export * from './logs.ts';
export * from './machine.ts';
export * from './metrics.ts';
export * from './operational-listener.ts';
export * from './shutdown.ts';
