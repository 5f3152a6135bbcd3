// That a task is to end: why, since when, and what was done about it. The newest word counts, the time of the first stays.
import type { DesiredTask } from '#domain';
import type { TaskState } from './task-folder.ts';
import type { StopFacts } from './task-steps.ts';

export type StopOrder = NonNullable<DesiredTask['stop']>;
type NotedStop = NonNullable<TaskState['stop']>;

export class TaskStop {
  /** Of the boot, like all times here. */
  readonly atSeconds: number;
  order: StopOrder;
  /** From `atSeconds` to SIGKILL. */
  graceSeconds: number;
  isAsked = false;
  /** It saved after it was told to stop. */
  isAnswered = false;
  /** SIGTERM or SIGKILL was sent. */
  isTold = false;
  /** Or may have been, by this agent or an earlier one: a code of 0 after that is no success. */
  wasTold = false;

  constructor(order: StopOrder, atSeconds: number, graceSeconds: number) {
    this.order = order;
    this.atSeconds = atSeconds;
    this.graceSeconds = graceSeconds;
  }

  /** What an earlier agent noted. One that it told to end is told again. */
  static restored({ cause, reason, wantsCheckpoint, ...noted }: NotedStop, graceSeconds: number): TaskStop {
    const stop = new TaskStop({ cause, reason, wantsCheckpoint }, noted.atSeconds, graceSeconds);
    stop.isAnswered = noted.isAnswered;
    stop.wasTold = noted.isTold;
    return stop;
  }

  noted(machineBootId: string): NotedStop {
    const { order, atSeconds, wasTold, isAnswered } = this;
    const { cause, reason, wantsCheckpoint } = order;
    return { cause, reason, wantsCheckpoint, atSeconds, machineBootId, isTold: wasTold, isAnswered };
  }

  /** At most so long, whatever the job wishes. */
  shorten(seconds: number): void {
    this.graceSeconds = Math.min(this.graceSeconds, seconds);
  }

  /** `isFirstDone`: of another member, whose answer does not count. */
  facts(nowSeconds: number, isFirstDone: boolean): StopFacts {
    const { order, isAsked, isTold } = this;
    const isAnswered = this.isAnswered || isFirstDone;
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
