// What requests cost, summed as the control plane wants it told: one entry for each key, model, version and set of leases.
import { createHash } from 'node:crypto';
import type { ToldUsage } from '#domain';

/** As it is told: what requests of one kind came to. */
export type SummedUsage = Omit<ToldUsage, 'leaseIds'> & { readonly leaseIds: string[] };

/** Whom a request is counted for. */
export type UsageSubject = Pick<
  SummedUsage,
  'tenantId' | 'keyPublicId' | 'deploymentId' | 'servedModel' | 'versionDigest' | 'leaseIds'
>;

export interface UsageAmount {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly isEstimated: boolean;
  /** Default 1. */
  readonly requests?: number | undefined;
  /** Default: as `isEstimated` says of one. */
  readonly estimatedRequests?: number | undefined;
}

/** Entries of one event: within the 64 and the bytes of its contract, whatever is in them. */
const ENTRIES_MAX = 40;

export class UsageTotals {
  readonly #entries = new Map<string, SummedUsage>();

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  add(subject: UsageSubject, amount: UsageAmount): void {
    const { promptTokens, completionTokens, isEstimated, requests = 1 } = amount;
    const { estimatedRequests = isEstimated ? 1 : 0 } = amount;
    const { tenantId, keyPublicId, deploymentId, servedModel, versionDigest, leaseIds } = subject;
    const named = { tenantId, keyPublicId, deploymentId, servedModel, versionDigest, leaseIds: [...leaseIds].sort() };
    const key = JSON.stringify(named);
    const before = this.#entries.get(key);
    this.#entries.set(key, {
      ...named,
      requests: (before?.requests ?? 0) + requests,
      promptTokens: (before?.promptTokens ?? 0) + promptTokens,
      completionTokens: (before?.completionTokens ?? 0) + completionTokens,
      estimatedRequests: (before?.estimatedRequests ?? 0) + estimatedRequests,
    });
  }

  /** What was added since the last time, which is forgotten here. */
  take(): SummedUsage[] {
    const entries = this.entries();
    this.#entries.clear();
    return entries;
  }

  /** In the order of what they are for, so that the same requests make the same list. */
  entries(): SummedUsage[] {
    return [...this.#entries.entries()].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, entry]) => entry);
  }
}

export interface UsageEvent {
  readonly id: string;
  readonly entries: SummedUsage[];
}

/** A segment's events. The same segment makes the same ids, so that what is told twice counts once. */
export function eventsOf(segmentId: string, entries: readonly SummedUsage[]): UsageEvent[] {
  const events: UsageEvent[] = [];
  for (let from = 0; from < entries.length; from += ENTRIES_MAX) {
    const id = from === 0 ? segmentId : derivedId(`${segmentId}/${from / ENTRIES_MAX}`);
    events.push({ id, entries: entries.slice(from, from + ENTRIES_MAX) });
  }
  return events;
}

/** A UUID of version 8: made from a hash, and from nothing else. */
function derivedId(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
