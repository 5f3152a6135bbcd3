/** Expected outcomes of intent: values, not exceptions. The admin API turns them into RFC 9457 problems. */
export type Refusal =
  | { readonly refused: 'not-found'; readonly what: string; readonly name: string }
  | { readonly refused: 'conflict'; readonly reason: string }
  | { readonly refused: 'precondition'; readonly reason: string }
  | { readonly refused: 'invalid'; readonly field: string; readonly reason: string }
  | { readonly refused: 'forbidden'; readonly reason: string };

export type RefusalKind = Refusal['refused'];

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value;
}

export const refuse = {
  notFound: (what: string, name: string): Refusal => ({ refused: 'not-found', what, name }),
  conflict: (reason: string): Refusal => ({ refused: 'conflict', reason }),
  precondition: (reason: string): Refusal => ({ refused: 'precondition', reason }),
  invalid: (field: string, reason: string): Refusal => ({ refused: 'invalid', field, reason }),
  forbidden: (reason: string): Refusal => ({ refused: 'forbidden', reason }),
} as const;

/** A refusal thrown inside a transaction, so that nothing of it is committed. Caught once, where the transaction ends. */
export class RefusedError extends Error {
  constructor(readonly refusal: Refusal) {
    super(`refused: ${refusal.refused}`);
    this.name = 'RefusedError';
  }
}

/** This process is no longer the leader: its epoch is not the newest one. Nothing was written. */
export class StaleEpochError extends Error {
  constructor(
    readonly mine: number,
    readonly newest: number,
  ) {
    super(`epoch ${mine} is over; the leader's epoch is ${newest}`);
    this.name = 'StaleEpochError';
  }
}
