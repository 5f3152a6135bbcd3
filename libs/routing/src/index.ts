export * from './affinity/choose.ts';
export * from './affinity/replicas.ts';
export * from './breaker.ts';
export * from './candidates.ts';
export * from './ledger.ts';
export * from './pick.ts';
export * from './retry-budget.ts';
