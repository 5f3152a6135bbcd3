// That a task is to end: why, since when, and what was done about it. The newest word counts, the time of the first stays.
import type { DesiredTask } from '#domain';
import type { StopFacts } from './task-steps.ts';

export type StopOrder = NonNullable<DesiredTask['stop']>;

export class TaskStop {
  /** Of the boot, like all times here. */
  readonly atSeconds: number;
  order: StopOrder;
  /** From `atSeconds` to SIGKILL. */
  graceSeconds: number;
  isAsked = false;
  /** SIGTERM or SIGKILL was sent. */
  isTold = false;

  constructor(order: StopOrder, atSeconds: number, graceSeconds: number) {
    this.order = order;
    this.atSeconds = atSeconds;
    this.graceSeconds = graceSeconds;
  }

  /** At most so long, whatever the job wishes. */
  shorten(seconds: number): void {
    this.graceSeconds = Math.min(this.graceSeconds, seconds);
  }

  facts(nowSeconds: number, isAnswered: boolean): StopFacts {
    const { order, isAsked, isTold } = this;
    const seconds = nowSeconds - this.atSeconds;
    return { wantsCheckpoint: order.wantsCheckpoint, seconds, isAsked, isAnswered, isTold };
  }

  /** What is left of the grace, in whole seconds; at least 1. */
  leftSeconds(nowSeconds: number): number {
    return Math.max(1, Math.floor(this.atSeconds + this.graceSeconds - nowSeconds));
  }

  /** So long after its grace that also its runner should be gone. */
  isOverdue(nowSeconds: number, seconds: number): boolean {
    return nowSeconds >= this.atSeconds + this.graceSeconds + seconds;
  }
}
