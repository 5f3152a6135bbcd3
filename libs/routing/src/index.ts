export * from './breaker.ts';
export * from './candidates.ts';
export * from './ledger.ts';
export * from './pick.ts';
export * from './retry-budget.ts';
