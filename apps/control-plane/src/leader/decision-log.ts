/** Which decisions are worth storing: not one a tick, but one whenever what is decided, or why, has changed. */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { CandidateVerdict, Decision, Deployment, Rows } from '#domain';
import type { DeploymentPlan, FleetSnapshot } from '#scheduling';

/** An action explains itself until the next one; waiting until it ends; `settled` only says that all is well. */
type DecisionKind = 'action' | 'waiting' | 'settled';

interface Stored {
  readonly meaning: string;
  readonly kind: DecisionKind;
}

export class DecisionLog {
  /** Deployment id → what was last stored for it. */
  private readonly stored = new Map<string, Stored>();

  constructor(private readonly epoch: number) {}

  /** Null when the newest stored decision explains this plan as well. Call `remember` once it is committed. */
  async decide(rows: Rows, snapshot: FleetSnapshot, plan: DeploymentPlan): Promise<Decision | null> {
    const known = this.stored.get(plan.deploymentId) ?? (await this.readStored(rows, plan.deploymentId));
    const kind = kindOf(plan);
    if (known !== null && kind === 'settled' && known.kind !== 'waiting') return null;
    if (known !== null && kind === 'waiting' && known.meaning === meaningOf(plan.decision)) return null;
    return {
      id: uuidv7(),
      subjectKind: 'deployment',
      subjectId: plan.deploymentId,
      epoch: this.epoch,
      inputsHash: hashInputs(snapshot, plan.deploymentId),
      ...plan.decision,
      detail: null,
      decidedAt: new Date(snapshot.nowMs),
    };
  }

  remember(plan: DeploymentPlan): void {
    this.stored.set(plan.deploymentId, { meaning: meaningOf(plan.decision), kind: kindOf(plan) });
  }

  forget(deploymentId: string): void {
    this.stored.delete(deploymentId);
  }

  /** Of what a former leader stored the kind is not known; taken for an action, it is not repeated without need. */
  private async readStored(rows: Rows, deploymentId: string): Promise<Stored | null> {
    const [newest] = await rows.decisions.newest(deploymentId, 1);
    if (newest === undefined) return null;
    const stored: Stored = { meaning: meaningOf(newest), kind: 'action' };
    this.stored.set(deploymentId, stored);
    return stored;
  }
}

function kindOf({ assign, drain, remove, waiting }: DeploymentPlan): DecisionKind {
  if (assign.length + drain.length + remove.length > 0) return 'action';
  return waiting > 0 ? 'waiting' : 'settled';
}

/** Scores move with every report; outcome and rejections are what somebody would act on. */
function meaningOf({ outcome, candidates }: { outcome: string; candidates: readonly CandidateVerdict[] }): string {
  const rejections = candidates.map(({ clusterId, rejectedBy }) => `${clusterId}:${rejectedBy ?? ''}`).sort();
  return `${outcome}\n${rejections.join('\n')}`;
}

function hashInputs(snapshot: FleetSnapshot, deploymentId: string): string {
  const deployment: Deployment | undefined = snapshot.deployments.find(({ id }) => id === deploymentId);
  return hashOf({
    deployment,
    rollout: snapshot.rollouts.get(deploymentId),
    placements: snapshot.placements.map(knownHashOf),
    reservations: [...snapshot.reservations].map(([clusterId, held]) => [clusterId, knownHashOf(held)]).sort(),
    clusters: snapshot.clusters.map(knownHashOf),
    failedIn: [...(snapshot.failedIn.get(deploymentId) ?? [])].sort(),
  });
}

/** Most of a snapshot is the same objects as in the one before: the fleet is not hashed anew for every decision. */
const knownHashes = new WeakMap<object, string>();

function knownHashOf(part: object): string {
  const known = knownHashes.get(part);
  if (known !== undefined) return known;
  const hash = hashOf(part);
  knownHashes.set(part, hash);
  return hash;
}

function hashOf(part: unknown): string {
  return createHash('sha256').update(JSON.stringify(part, sortKeys)).digest('hex');
}

function sortKeys(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}
