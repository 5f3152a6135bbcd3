/**
 * Proposals of one kind of preemptor, the one that loses least first. A domain proposes what it must lose at least until
 * it gets to the front; only then its victims are chosen. Kept for further preemptors of the kind: only domains that
 * changed since are looked at again, as `CapacityAccount.domains` gives the same object for one that did not.
 */
import type { Option } from './eviction-options.ts';
import { rise, sink } from './heap.ts';
import type { CapacityDomain } from './ports.ts';
import { compareLosses, type Loss } from './victim-set.ts';

export interface Proposal {
  readonly clusterId: string;
  /** Null: of the whole cluster, or of a gang's domains. */
  readonly domain: CapacityDomain | null;
  /** Null: not chosen yet, and `loss` is a lower bound. */
  readonly set: readonly Option[] | null;
  /** Candidates from which the cheapest are added as long as the set is not enough. */
  readonly rest: readonly Option[];
  readonly loss: Loss;
  /** 1, 2, 3 … as they were proposed. */
  readonly turn: number;
}

/** Of equal losses, the one that was proposed first. */
export class ProposalQueue {
  private readonly heap: Proposal[] = [];
  private readonly outdated = new Set<CapacityDomain>();
  private turns = 0;

  push(proposal: Omit<Proposal, 'turn'>): void {
    this.turns += 1;
    this.pushAgain({ ...proposal, turn: this.turns });
  }

  /** With its turn, now that more is known of its loss: so of many alike the first is the only one looked into. */
  pushAgain(proposal: Proposal): void {
    this.heap.push(proposal);
    rise(this.heap, this.heap.length - 1, precedes);
  }

  /** What was proposed of this domain no longer holds. */
  outdate(domain: CapacityDomain): void {
    this.outdated.add(domain);
  }

  pop(): Proposal | null {
    this.dropOutdated();
    return this.shift() ?? null;
  }

  /** Whether the next one loses less than this, as far as it tells. */
  hasLess(loss: Loss): boolean {
    this.dropOutdated();
    const top = this.heap[0];
    return top !== undefined && compareLosses(top.loss, loss) < 0;
  }

  private dropOutdated(): void {
    for (let top = this.heap[0]; top !== undefined; top = this.heap[0]) {
      if (top.domain === null || !this.outdated.has(top.domain)) return;
      this.shift();
    }
  }

  private shift(): Proposal | undefined {
    const top = this.heap[0];
    const last = this.heap.pop();
    if (top === undefined || last === undefined || this.heap.length === 0) return top;
    this.heap[0] = last;
    sink(this.heap, 0, precedes);
    return top;
  }
}

function precedes(left: Proposal, right: Proposal): boolean {
  return (compareLosses(left.loss, right.loss) || left.turn - right.turn) < 0;
}
