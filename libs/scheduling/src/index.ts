export { DeviceLedger } from './device-ledger.ts';
export type { Filter } from './filters.ts';
export { FILTERS } from './filters.ts';
export type { DeploymentPlan, PlannedAssignment, PlannedChange } from './plan.ts';
export { planDeployment, planFleet } from './plan-deployment.ts';
export type { Scorer } from './scorers.ts';
export { SCORERS } from './scorers.ts';
export type { ClusterSnapshot, FleetSnapshot, ReportSnapshot } from './snapshot.ts';
export { DRAIN_SECONDS_MAX, FAILED_MOVES_MAX, FAILURES_BEFORE_MOVE } from './standing.ts';
