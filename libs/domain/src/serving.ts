/**
 * How a deployment's replicas serve inside a cluster: which one takes a request, which nodes they prefer, which adapters
 * they carry, and how many more of them the agent may start by itself. Carried by the desired document, so that an agent
 * out of contact goes on by the same rules (R4).
 */
import type { Labels } from './names.ts';

/** Names of the policies in `libs/routing/src/affinity/choose.ts`; formulas and sources stand there. */
export const REPLICA_PICKS = ['predicted-first-token', 'least-cost', 'inverse-load', 'power-of-two'] as const;
export type ReplicaPick = (typeof REPLICA_PICKS)[number];

export interface RoutingPolicy {
  readonly pick: ReplicaPick;
  /** A sticky replica (session, prefix) is left when it is predicted to be later by more than this … Default 100. */
  readonly spillMs: number;
  /** … and by more than this share of the soonest. Default 0.5. */
  readonly spillRatio: number;
  /** From this share of the prompt on, a cached prefix is sticky. Default 0.8. */
  readonly prefixHitMin: number;
  /** Share of requests that go to a replica that was never measured (A07). Default 0.01. */
  readonly explorationShare: number;
}

export const DEFAULT_ROUTING_POLICY: RoutingPolicy = {
  pick: 'predicted-first-token',
  spillMs: 100,
  spillRatio: 0.5,
  prefixHitMin: 0.8,
  explorationShare: 0.01,
};

/** Rules of `libs/scheduling/src/scaling` that an agent can follow with what it measures itself. */
export const LOCAL_SCALING_RULES = ['target-tracking', 'reference'] as const;

/**
 * Replicas that the agent starts beside those that the centre placed, while load asks for them and devices are free
 * there. The centre is told and counts them as nobody's placement; what it places itself goes before them.
 */
export interface LocalScaling {
  /** Of this deployment in one cluster, placed ones included. At least 1. */
  readonly replicasMax: number;
  readonly rule: (typeof LOCAL_SCALING_RULES)[number];
  /** Requests in flight for each ready replica that the rule aims at. Default 4. */
  readonly targetInflight: number;
}

/** A12: required labels filter nodes, preferred ones score. */
export interface NodePreferences {
  readonly required: Labels;
  readonly preferred: Labels;
}

/** A LoRA adapter: a published version that is loaded beside its base. */
export interface AdapterReference {
  /** What clients give as `model`. Unique among the deployment's adapters and its served model. */
  readonly name: string;
  readonly versionDigest: string;
}
