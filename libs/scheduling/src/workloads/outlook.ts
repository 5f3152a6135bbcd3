/**
 * The devices of the fleet at two moments of one cycle: `present`, as they are, for what starts now; and `coming`, as they
 * will be once all that is ending has ended and what was promised room has it, for what needs others to end first (P09,
 * P10). As long as nothing is ending they are one and the same account, which is most of the time.
 *
 * A hold is room that is not to be used by others: of a nomination (P11), or of a reservation (backfill.ts). It has its
 * devices in both accounts, as far as they are free.
 */
import type { TaskBinding } from '#domain';
import type { CapacityAccount } from './ports.ts';
import type { RunningBooks } from './running/books.ts';
import type { PendingWorkload, RunningWorkload } from './snapshot.ts';

export interface Hold {
  /** What its devices are taken under. */
  readonly holderId: string;
  readonly kind: 'nominated' | 'reserved';
  readonly work: PendingWorkload;
  readonly tasks: readonly TaskBinding[];
  /** Unix milliseconds at which the room is whole; null: that cannot be told. */
  readonly wholeAtMs: number | null;
  /** True: its workload was served in this cycle, and waits. False: it may give way to what is served before it (S02). */
  readonly isFirm: boolean;
}

export function holdOn(
  kind: Hold['kind'],
  work: PendingWorkload,
  tasks: readonly TaskBinding[],
  rest: Partial<Pick<Hold, 'wholeAtMs' | 'isFirm'>> = {},
): Hold {
  return { holderId: `${kind}:${work.id}`, kind, work, tasks, wholeAtMs: null, isFirm: true, ...rest };
}

export class Outlook {
  readonly present: CapacityAccount;
  private apart: CapacityAccount | null = null;
  private readonly held = new Map<string, Hold>();
  /** Workload ids: thousands are asked about that have none, which a made-up key would be dear for. */
  private readonly heldFor: Readonly<Record<Hold['kind'], Set<string>>> = { nominated: new Set(), reserved: new Set() };
  private readonly started: { readonly work: PendingWorkload; readonly tasks: readonly TaskBinding[] }[] = [];
  private readonly evicted = new Set<string>();
  /** Holds whose room is free for a what-if. */
  private readonly lifted = new Set<string>();
  /** Rises when room comes free: what found none before may find some now. */
  freedTimes = 0;
  /** Whether anything is ending. */
  isParted: boolean;

  /** Works on the accounts of the books, which undo it before the next cycle. */
  constructor(private readonly books: Pick<RunningBooks, 'present' | 'coming' | 'ending'>) {
    this.present = books.present;
    this.isParted = books.ending.size > 0;
  }

  /** Made when it is first asked for after something began to end. */
  get coming(): CapacityAccount {
    if (!this.isParted) return this.present;
    this.apart ??= this.withoutEnding();
    return this.apart;
  }

  isEvicted(holderId: string): boolean {
    return this.evicted.has(holderId);
  }

  /** What this cycle starts. */
  get starting(): readonly { readonly work: PendingWorkload; readonly tasks: readonly TaskBinding[] }[] {
    return this.started;
  }

  get holds(): IterableIterator<Hold> {
    return this.held.values();
  }

  holdOf(workloadId: string, kind: Hold['kind']): Hold | undefined {
    if (!this.heldFor[kind].has(workloadId)) return undefined;
    return this.held.get(`${kind}:${workloadId}`);
  }

  /** Something starts. */
  occupy(work: PendingWorkload, tasks: readonly TaskBinding[]): void {
    this.started.push({ work, tasks });
    this.each((account) => account.take(work.id, work.claim, tasks));
  }

  /** Keeps room from others; what of it is taken stays with who has it. */
  hold(hold: Hold): void {
    this.held.set(hold.holderId, hold);
    this.heldFor[hold.kind].add(hold.work.id);
    this.each((account) => account.take(hold.holderId, hold.work.claim, hold.tasks));
  }

  drop(hold: Hold): void {
    this.lifted.delete(hold.holderId);
    if (!this.held.delete(hold.holderId)) return;
    this.heldFor[hold.kind].delete(hold.work.id);
    this.freedTimes += 1;
    this.each((account) => account.release(hold.holderId));
  }

  /** Frees the room of holds for a what-if; `putBack` gives each what is still free of it. */
  lift(holds: readonly Hold[]): void {
    for (const { holderId } of holds) {
      this.lifted.add(holderId);
      this.each((account) => account.release(holderId));
    }
  }

  putBack(holds: readonly Hold[]): void {
    for (const { holderId, work, tasks } of holds) {
      this.lifted.delete(holderId);
      if (this.held.has(holderId)) this.each((account) => account.take(holderId, work.claim, tasks));
    }
  }

  /** A lifted hold stays, whatever is served from here on. */
  confirm(hold: Hold): void {
    this.lifted.delete(hold.holderId);
    this.hold({ ...hold, isFirm: true });
  }

  /** What runs is to end: its room is free in `coming` only. */
  evict(victims: readonly RunningWorkload[]): void {
    if (victims.length === 0) return;
    this.isParted = true;
    for (const { holderId } of victims) {
      this.evicted.add(holderId);
      this.apart?.release(holderId);
    }
  }

  private withoutEnding(): CapacityAccount {
    const { coming } = this.books;
    for (const holderId of this.evicted) coming.release(holderId);
    for (const { work, tasks } of this.started) coming.take(work.id, work.claim, tasks);
    // As they would have been taken had both accounts been kept from the start.
    const inOrder = [...this.held.values()].sort((left, right) => rankOf(left) - rankOf(right));
    for (const { holderId, work, tasks } of inOrder) {
      if (!this.lifted.has(holderId)) coming.take(holderId, work.claim, tasks);
    }
    return coming;
  }

  private each(change: (account: CapacityAccount) => void): void {
    change(this.present);
    if (this.apart !== null) change(this.apart);
  }
}

/** Promises before reservations, which have what is left beside them; what was served before what gave way to it. */
function rankOf({ kind, isFirm }: Hold): number {
  return (kind === 'nominated' ? 0 : 2) + (isFirm ? 0 : 1);
}
