// The members of an attempt that are here, as one of them sees the others. Pure. Who answers for all is the one of rank 0.
import type { DesiredTask } from '#domain';

export interface Member {
  readonly task: Pick<DesiredTask, 'rank'>;
  /** It saved after it was told to stop. */
  readonly isAnswered: boolean;
  readonly isOver: boolean;
}

/** Undefined for the first one itself, and when it is not here. */
export function firstBefore(self: Member, members: readonly Member[]): Member | undefined {
  return self.task.rank === 0 ? undefined : members.find(({ task }) => task.rank === 0);
}

/** Of another member: the first one is here and has saved, or has gone. */
export function isFirstDone(self: Member, members: readonly Member[]): boolean {
  const first = firstBefore(self, members);
  return first !== undefined && (first.isAnswered || first.isOver);
}

export function areOthersOver(self: Member, members: readonly Member[]): boolean {
  return members.every((each) => each === self || each.isOver);
}
