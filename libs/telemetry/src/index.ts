// Metrics, logs, health and shutdown: what every process has and none should write again.
export * from './health.ts';
export * from './logs.ts';
export * from './metrics.ts';
export * from './operational-listener.ts';
export * from './shutdown.ts';
