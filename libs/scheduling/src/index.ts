export { mayRunVersion } from './cluster-version.ts';
export { DeviceLedger } from './device-ledger.ts';
export type { Filter } from './filters.ts';
export { FILTERS } from './filters.ts';
export type { DependencyVerdict } from './jobs/dag.ts';
export { dependencyVerdict } from './jobs/dag.ts';
export type { AutoClaim, AutoClaimCluster } from './parallel/auto-claim.ts';
export { autoClaim } from './parallel/auto-claim.ts';
export type { Purpose } from './parallel/costs.ts';
export { DEFAULT_FINE_TUNE, DEFAULT_SERVING } from './parallel/costs.ts';
export type { EngineName } from './parallel/engine-arguments.ts';
export { ENGINE_ARGUMENTS, ENGINE_NAMES } from './parallel/engine-arguments.ts';
export type { ModelConfig, ModelShape, TensorSize } from './parallel/model-shape.ts';
export {
  configProblem,
  shapeFromConfig,
  shapeFromGraph,
  shapeFromTensors,
  weightBytesOf,
} from './parallel/model-shape.ts';
export type { NoParallelPlan, ParallelPlan } from './parallel/plan-parallel.ts';
export { planParallel } from './parallel/plan-parallel.ts';
export type { DeploymentPlan, PlannedAssignment, PlannedChange, SpreadRoom } from './plan.ts';
export { DeploymentPlanner, planDeployment, planFleet } from './plan-deployment.ts';
export { FIRST_BYTE_FLOOR_MS, medianFirstByteMs, wilsonLowerBound } from './rollout/abort.ts';
export type { ComparedOutcomes, RolloutCluster, RolloutFacts, RolloutReplica } from './rollout/facts.ts';
export { rolloutFactsOf } from './rollout/facts.ts';
export type { RolloutStep } from './rollout/step.ts';
export { describeWave, resumeRollout, stepRollout } from './rollout/step.ts';
export type { OpenedWave, WaveCluster } from './rollout/waves.ts';
export { openWave } from './rollout/waves.ts';
export type { DeferrableWork, RoomMade } from './scaling/deferrable.ts';
export { makeRoom } from './scaling/deferrable.ts';
export type { DrainableReplica, DrainStep } from './scaling/drains.ts';
export { drainStep } from './scaling/drains.ts';
export type { ScalingSample } from './scaling/samples.ts';
export type { ScalingBounds, ScalingDecision, ScalingInput } from './scaling/scale.ts';
export { decideScaling } from './scaling/scale.ts';
export type { ScalingParameters, ScalingPolicy, ScalingPolicyName } from './scaling/scaling-policies.ts';
export {
  DEFAULT_SCALING_PARAMETERS,
  DEFAULT_SCALING_POLICY,
  SCALING_POLICIES,
  SCALING_POLICY_NAMES,
} from './scaling/scaling-policies.ts';
export type { Scorer } from './scorers.ts';
export { SCORERS } from './scorers.ts';
export { rejectSelected } from './selector-filters.ts';
export type { ClusterSnapshot, FleetSnapshot, ReportSnapshot, Reservation } from './snapshot.ts';
export { spreadGroup } from './spread.ts';
export { DRAIN_SECONDS_MAX, FAILED_MOVES_MAX, FAILURES_BEFORE_MOVE } from './standing.ts';
export { isTimeBound } from './time-bound.ts';
export { Capacity } from './workloads/capacity.ts';
export { planWorkloads, WorkloadPlanner } from './workloads/cycle.ts';
export { DryRun } from './workloads/dry-run.ts';
export type { OrderedWork, OrderOptions, QueueOrderPolicy, RequestOrder } from './workloads/orders.ts';
export {
  classWeight,
  dynamicWeight,
  EXPECTED_SECONDS_DEFAULT,
  nextRequest,
  orderPending,
  orderRequests,
  QUEUE_ORDER_POLICIES,
  remainingSeconds,
} from './workloads/orders.ts';
export type {
  CapacityDomain,
  Placed,
  PlaceRejection,
  PlaceRequest,
  QuotaRejection,
  QuotaWant,
} from './workloads/ports.ts';
export { CapacityAccount, QuotaAccount } from './workloads/ports.ts';
export { selfGrantProblem } from './workloads/queue-grants.ts';
export { QuotaTree } from './workloads/quota-tree.ts';
export type { QueueShape } from './workloads/quota-tree-problem.ts';
export { queueTreeProblem, quotaWarning } from './workloads/quota-tree-problem.ts';
export type {
  PendingWorkload,
  QueueSnapshot,
  RunningWorkload,
  WorkloadCluster,
  WorkloadPolicy,
  WorkloadSnapshot,
} from './workloads/snapshot.ts';
export { DEFAULT_WORKLOAD_POLICY } from './workloads/snapshot.ts';
export { VICTIM_COSTS } from './workloads/victims.ts';
export type {
  DefragmentationProposal,
  PlannedStart,
  PlannedStop,
  WorkloadPlan,
  WorkloadVerdict,
} from './workloads/workload-plan.ts';
