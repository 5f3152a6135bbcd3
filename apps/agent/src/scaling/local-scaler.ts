// Replicas that the agent starts by itself while load asks for them (`localScaling`), also with the centre gone (R4).
//
// Every second: how busy each deployment is, how many replicas that needs by the rule of its document, and what of that can
// be had (`extra-replicas.ts`). The list of extras is on disk before one of them starts, so that a restart adopts them.
// The reconciler and the adoption see the document with the extras in it; reports call them local.
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { type DesiredReplica, type DesiredState, type LocalScaling, type Node, type ReplicaReport } from '#domain';
import { decideScaling, type ScalingDecision } from '#scheduling';
import type { EngineAdapter } from '../engines/engine-adapter.ts';
import type { Replica } from '../engines/replica.ts';
import { messageOf } from '../errors.ts';
import type { TaskSupervisor } from '../jobs/task-supervisor.ts';
import { type ExtraReplica, planExtras, type WaitingClaim, withExtras } from './extra-replicas.ts';
import { LoadSamples } from './load-samples.ts';

const TICK_MS = 1_000;

export const extraReplicasSchema = z
  .array(z.object({ replicaId: z.string(), deploymentId: z.string(), versionDigest: z.string() }))
  .max(10_000);

export interface LocalScalingSettings {
  /** In flight is a mean over so long. */
  readonly windowSeconds: number;
  /** Between two starts for one deployment. */
  readonly outCooldownSeconds: number;
  /** None ends before it was not needed for so long without a break. */
  readonly inAfterSeconds: number;
}

export interface LocalScalerOptions {
  readonly document: {
    read(): Promise<readonly ExtraReplica[] | null>;
    write(value: ExtraReplica[]): Promise<void>;
  };
  readonly settings: LocalScalingSettings;
  readonly desired: () => DesiredState | null;
  readonly replicas: () => Iterable<Pick<Replica, 'replicaId' | 'deploymentId' | 'phase' | 'inflight' | 'devices'>>;
  readonly tasks: Pick<TaskSupervisor, 'holdings' | 'waitingClaims'>;
  /** Replica id → what it waits for before it can start. */
  readonly waits: () => ReadonlyMap<string, string>;
  readonly nodes: () => readonly Node[];
  readonly engines: Pick<EngineAdapter, 'bindsDevices'>;
  readonly onChange: () => void;
  readonly log: Logger;
  /** Monotonic milliseconds; default performance.now. */
  readonly now?: () => number;
}

interface Measured {
  readonly samples: LoadSamples;
  lastOutAtMs: number | null;
  lastInAtMs: number | null;
}

export class LocalScaler {
  readonly #options: LocalScalerOptions;
  readonly #now: () => number;
  readonly #measured = new Map<string, Measured>();
  /** Also those that have ended and are stopping. */
  readonly #everLocal = new Set<string>();
  #extras: readonly ExtraReplica[] = [];
  #merged:
    | { readonly of: DesiredState; readonly extras: readonly ExtraReplica[]; readonly state: DesiredState }
    | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turning: Promise<void> = Promise.resolve();
  #isTurning = false;

  constructor(options: LocalScalerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  async open(): Promise<void> {
    this.#extras = (await this.#options.document.read()) ?? [];
    for (const { replicaId } of this.#extras) this.#everLocal.add(replicaId);
  }

  start(): void {
    this.#timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turning;
  }

  /** The document with the extras in it; the same one as long as neither changes. */
  withExtras(desired: DesiredState | null): DesiredState | null {
    if (desired === null || this.#extras.length === 0) return desired;
    const merged = this.#merged;
    if (merged?.of === desired && merged.extras === this.#extras) return merged.state;
    const state = withExtras(desired, this.#extras);
    this.#merged = { of: desired, extras: this.#extras, state };
    return state;
  }

  /** Says of each whether it is the agent's own. */
  mark(reports: readonly ReplicaReport[]): ReplicaReport[] {
    return reports.map((report) => (this.#everLocal.has(report.replicaId) ? { ...report, isLocal: true } : report));
  }

  firstToken(deploymentId: string, ms: number): void {
    this.#measured.get(deploymentId)?.samples.firstToken(ms);
  }

  /** One look and, where something follows from it, one change. */
  tick(): void {
    const desired = this.#options.desired();
    if (desired === null) return;
    const needed = this.#measure(desired);
    if (this.#isTurning) return;
    const { waits, nodes, engines, tasks, log } = this.#options;
    const extraIds = new Set(this.#extras.map(({ replicaId }) => replicaId));
    const { extras, reasons } = planExtras({
      desired,
      extras: this.#extras,
      needed,
      nodes: nodes(),
      here: [...this.#options.replicas()].map(({ replicaId, phase, devices = [] }) => ({
        replicaId,
        isStopping: phase === 'Stopping',
        devices,
      })),
      tasks: tasks.holdings(),
      waiting: [
        ...claimsOf(desired.replicas.filter(({ replicaId }) => waits().has(replicaId) && !extraIds.has(replicaId))),
        ...tasks.waitingClaims(desired),
      ],
      isScaled: (engine) => engines.bindsDevices(engine),
      newId: uuidv7,
    });
    if (reasons.length === 0) return;
    for (const reason of reasons) log.info({ reason }, 'local scaling');
    this.#turning = this.#change(extras);
  }

  /** On disk first: one that starts is known to the next agent. */
  async #change(extras: readonly ExtraReplica[]): Promise<void> {
    this.#isTurning = true;
    try {
      await this.#options.document.write([...extras]);
      this.#noteChanges(extras);
      this.#extras = extras;
      for (const { replicaId } of extras) this.#everLocal.add(replicaId);
      this.#options.onChange();
    } catch (cause) {
      this.#options.log.warn({ reason: messageOf(cause) }, 'local replicas not stored, so nothing changes');
    } finally {
      this.#isTurning = false;
    }
  }

  #noteChanges(after: readonly ExtraReplica[]): void {
    const count = (extras: readonly ExtraReplica[], of: string) =>
      extras.filter((each) => each.deploymentId === of).length;
    for (const [deploymentId, measured] of this.#measured) {
      const change = count(after, deploymentId) - count(this.#extras, deploymentId);
      if (change > 0) measured.lastOutAtMs = this.#now();
      if (change < 0) measured.lastInAtMs = this.#now();
    }
  }

  /** Deployment → replicas that its load asks for. */
  #measure(desired: DesiredState): ReadonlyMap<string, number> {
    const scaled = new Map(
      desired.replicas.flatMap(({ deploymentId, localScaling, draining }) =>
        localScaling === undefined || draining ? [] : [[deploymentId, localScaling] as const],
      ),
    );
    for (const deploymentId of this.#measured.keys())
      if (!scaled.has(deploymentId)) this.#measured.delete(deploymentId);
    return new Map(
      [...scaled].map(([deploymentId, policy]) => [deploymentId, this.#need(desired, deploymentId, policy)]),
    );
  }

  #need(desired: DesiredState, deploymentId: string, policy: LocalScaling): number {
    const measured = this.#measured.get(deploymentId) ?? this.#newMeasured(deploymentId);
    const own = [...this.#options.replicas()].filter((each) => each.deploymentId === deploymentId);
    const ready = own.filter(({ phase }) => phase === 'Ready').length;
    const inflight = own.reduce((sum, each) => sum + each.inflight, 0);
    const nowMs = this.#now();
    measured.samples.look(nowMs, inflight, ready, policy.targetInflight);
    const placed = desired.replicas.filter((each) => each.deploymentId === deploymentId && !each.draining).length;
    const extras = this.#extras.filter((each) => each.deploymentId === deploymentId).length;
    return this.#decide(measured, policy, placed, extras, nowMs).replicas;
  }

  #decide(
    { samples, lastOutAtMs, lastInAtMs }: Measured,
    policy: LocalScaling,
    placed: number,
    extras: number,
    nowMs: number,
  ): ScalingDecision {
    const { outCooldownSeconds, inAfterSeconds } = this.#options.settings;
    const bounds = {
      minimum: placed,
      maximum: Math.max(placed, policy.replicasMax),
      outCooldownSeconds,
      inCooldownSeconds: inAfterSeconds,
    };
    const input = { nowMs, samples: samples.samples, replicas: placed + extras, lastOutAtMs, lastInAtMs, bounds };
    // 1 is what is aimed at, as utilisation is counted here.
    return decideScaling(input, policy.rule, { utilisationTarget: 1, inSeconds: inAfterSeconds });
  }

  #newMeasured(deploymentId: string): Measured {
    const samples = new LoadSamples(this.#options.settings.windowSeconds * 1_000);
    const measured: Measured = { samples, lastOutAtMs: null, lastInAtMs: null };
    this.#measured.set(deploymentId, measured);
    return measured;
  }
}

function claimsOf(replicas: readonly DesiredReplica[]): WaitingClaim[] {
  return replicas.map(({ claim, nodes }) => (nodes === undefined ? claim : { ...claim, nodes }));
}
