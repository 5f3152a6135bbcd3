/**
 * What is counted of all that runs, kept by a planner from cycle to cycle and brought up to date by what changed: so a
 * cycle costs by what it decides and by what changed, not by what runs. Each account is made when it is first asked for.
 *
 * Invariant: after `update` every answer is that of books made anew of the same snapshot.
 */
import type { Capacity } from '../capacity.ts';
import type { RunningWorkload, WorkloadCluster, WorkloadSnapshot } from '../snapshot.ts';
import { Census } from './census.ts';
import { Charges } from './charges.ts';
import { DisruptionBudgets } from './disruption-budgets.ts';
import { Roster, type RosterChange } from './roster.ts';
import { RunEnds } from './run-ends.ts';
import { RunningDevices } from './running-devices.ts';

/** Names of what is gone are forgotten once they are more than those that run and so many: by starting anew. */
const NAMES_SPARE = 20_000;
/** Ends of more changes at once are sorted anew. */
const ENDS_CHANGED_MAX = 500;

export class RunningBooks {
  private roster = new Roster();
  private charged = new Charges();
  private budgets = new DisruptionBudgets();
  private presentDevices: RunningDevices | null = null;
  private comingDevices: RunningDevices | null = null;
  private knownEnds: RunEnds | null = null;
  private knownCensus: Census | null = null;
  private readonly endingNow = new Set<RunningWorkload>();
  private clusters: readonly WorkloadCluster[] = [];
  private nowMs = 0;
  private isWhole = true;

  /** Undoes what a cycle did to the accounts, and brings them to another snapshot. */
  update({ clusters, running, nowMs }: WorkloadSnapshot): void {
    if (!this.isWhole || this.roster.holders.size > 2 * running.length + NAMES_SPARE) this.startAnew();
    this.isWhole = false;
    const change = this.roster.update(running);
    this.charged.update(change);
    this.budgets.update(change);
    if (change.gone.length * 2 > running.length) this.forgetAccounts();
    for (const each of change.gone) this.endingNow.delete(each);
    for (const each of change.come) if (each.isEnding) this.endingNow.add(each);
    this.updateDevices(clusters, change);
    this.updateTimes(change, nowMs);
    this.isWhole = true;
  }

  of(holderId: string): RunningWorkload | undefined {
    return this.roster.of(holderId);
  }

  get holders(): Roster['holders'] {
    return this.roster.holders;
  }

  get repeated(): Roster['repeated'] {
    return this.roster.repeated;
  }

  get charges(): Charges {
    return this.charged;
  }

  /** What was asked to end already. */
  get ending(): ReadonlySet<RunningWorkload> {
    return this.endingNow;
  }

  /** How many of a disruption budget may be stopped before it is overdrawn. */
  budgetLeft(budgetId: string): number {
    return this.budgets.left(budgetId);
  }

  /** The devices as they are. */
  get present(): Capacity {
    this.presentDevices ??= new RunningDevices(this.clusters, this.holders, this.roster);
    return this.presentDevices.account;
  }

  /** The devices as they will be once all that is ending has ended. */
  get coming(): Capacity {
    this.comingDevices ??= new RunningDevices(this.clusters, this.holders, this.roster, ({ isEnding }) => !isEnding);
    return this.comingDevices.account;
  }

  get ends(): RunEnds {
    this.knownEnds ??= new RunEnds(this.roster);
    return this.knownEnds;
  }

  get census(): Census {
    this.knownCensus ??= new Census(this.roster, this.nowMs);
    return this.knownCensus;
  }

  private startAnew(): void {
    this.roster = new Roster();
    this.charged = new Charges();
    this.budgets = new DisruptionBudgets();
    this.endingNow.clear();
    this.forgetAccounts();
  }

  private forgetAccounts(): void {
    this.presentDevices = null;
    this.comingDevices = null;
    this.knownEnds = null;
    this.knownCensus = null;
  }

  private updateDevices(clusters: readonly WorkloadCluster[], change: RosterChange): void {
    if (!isSameFleet(this.clusters, clusters)) {
      this.presentDevices = null;
      this.comingDevices = null;
    }
    this.clusters = clusters;
    this.presentDevices?.update(clusters, change);
    this.comingDevices?.update(clusters, change);
  }

  private updateTimes(change: RosterChange, nowMs: number): void {
    // Time that goes back puts shields up again.
    if (nowMs < this.nowMs) this.knownCensus = null;
    this.nowMs = nowMs;
    this.knownCensus?.update(change, nowMs);
    if (change.gone.length + change.come.length > ENDS_CHANGED_MAX) this.knownEnds = null;
    this.knownEnds?.update(change);
  }
}

/** The same clusters in the same order, with the very same lists of nodes. */
function isSameFleet(left: readonly WorkloadCluster[], right: readonly WorkloadCluster[]): boolean {
  return left.length === right.length && left.every((cluster, at) => isSameCluster(cluster, right[at]!));
}

function isSameCluster(left: WorkloadCluster, right: WorkloadCluster): boolean {
  return left.id === right.id && left.nodes === right.nodes;
}
