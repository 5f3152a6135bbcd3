/**
 * What a request through this gateway is charged: room in every budget of its key, then the engine, then what it came to.
 * The cluster that answers charges nothing for it.
 *
 * The begin of a charged request is written down while the engine works, and the client gets nothing of the answer before
 * it is on disk: whatever was answered is charged, also by a gateway that is killed. A disk that takes nothing stops no
 * request that has a lease, and one that takes long delays it by NOTED_WITHIN_MS at most.
 */
import {
  type Charge,
  type ChargedKey,
  type ChargedRequest,
  chargeOnce,
  type LeaseKeeper,
  type NoRoom,
  type OpenAiError,
  openAiError,
  type Reservation,
  type UsageJournal,
  type UsageSubject,
  UsageTotals,
} from '#inference';
import type { GatewayMetrics } from '../data-plane/observer.ts';
import { within } from './within.ts';

/** A disk that is no slower than this is waited for; fsync takes some milliseconds, an engine's first token more. */
const NOTED_WITHIN_MS = 1_000;

export interface GatewayCharge extends Charge {
  /** The begin is not on disk yet: resolves when it is, cannot be, or takes too long. Null: nothing to wait for. */
  untilNoted(): Promise<void> | null;
}

export interface RequestChargingOptions {
  readonly leases: Pick<LeaseKeeper, 'reserve' | 'reserveSoon' | 'settle'>;
  readonly journal: Pick<UsageJournal, 'begin' | 'end' | 'count'>;
  /** Names one request in the journal; new each time. */
  readonly newId: () => string;
  /** Whether the control plane can be asked for more. */
  readonly isConnected: () => boolean;
  /** Of a gateway that has just started: until it can be asked, or a moment is over. Null: that is behind us. */
  readonly firstContact: () => Promise<void> | null;
  readonly metrics: Pick<GatewayMetrics, 'budgetTokensChargedTotal' | 'budgetRefusedTotal'>;
}

export class RequestCharging {
  /** Of requests that no budget asks for: a line for each would cost more than it is worth. */
  private readonly uncharged = new UsageTotals();

  constructor(private readonly options: RequestChargingOptions) {}

  /** A promise only where a lease must be waited for. */
  begin(key: ChargedKey, request: ChargedRequest): GatewayCharge | OpenAiError | Promise<GatewayCharge | OpenAiError> {
    const { budgetIds } = key;
    if (budgetIds.length === 0) return this.counted(subjectOf(key, request, []));
    const { leases, isConnected, firstContact } = this.options;
    const found = leases.reserve(budgetIds, request.reservedTokens);
    if (!('refused' in found && found.mayHaveMore)) return this.charged(key, request, found);
    const contact = isConnected() ? Promise.resolve() : firstContact();
    if (contact === null) return this.charged(key, request, found);
    return contact
      .then(() => leases.reserveSoon(budgetIds, request.reservedTokens))
      .then((later) => this.charged(key, request, later));
  }

  private charged(key: ChargedKey, request: ChargedRequest, found: Reservation | NoRoom): GatewayCharge | OpenAiError {
    if ('refused' in found) return this.refuse(found);
    const { leases, journal, newId, metrics } = this.options;
    const subject = subjectOf(key, request, found.leaseIds);
    const { promptTokens, reservedTokens } = request;
    const id = newId();
    let isRefused = false;
    let noting: Promise<void> | null = journal
      .begin({ id, ...subject, promptTokens, reservedTokens })
      .catch(() => {
        isRefused = true;
      })
      .finally(() => {
        noting = null;
      });
    const untilNoted = () => noting && within(noting, NOTED_WITHIN_MS);
    const charge = chargeOnce((spent, by) => {
      if (!isRefused) journal.end(id, spent, by);
      else if (spent !== null) journal.count({ ...subject, ...by }, spent);
      const tokens = spent === null ? 0 : spent.promptTokens + spent.completionTokens;
      leases.settle(found, tokens);
      metrics.budgetTokensChargedTotal.inc(tokens);
    });
    return { ...charge, untilNoted };
  }

  private counted(subject: UsageSubject): GatewayCharge {
    const charge = chargeOnce((spent, by) => {
      if (spent !== null) this.uncharged.add({ ...subject, ...by }, spent);
    });
    return { ...charge, untilNoted: () => null };
  }

  /** Writes down what requests without a budget came to since the last time. */
  flush(): void {
    for (const { promptTokens, completionTokens, requests, estimatedRequests, ...subject } of this.uncharged.take()) {
      const amount = { promptTokens, completionTokens, requests, estimatedRequests, isEstimated: false };
      this.options.journal.count(subject, amount);
    }
  }

  private refuse({ reason, retryAfterSeconds }: NoRoom): OpenAiError {
    this.options.metrics.budgetRefusedTotal.inc();
    const contact = this.options.isConnected() ? '' : '; the control plane cannot be asked for more now';
    return openAiError('insufficient_quota', { message: `${reason}${contact}.`, retryAfterSeconds });
  }
}

function subjectOf(key: ChargedKey, request: ChargedRequest, leaseIds: readonly string[]): UsageSubject {
  const { deploymentId, servedModel, versionDigest } = request;
  const { tenantId, publicId } = key;
  return { tenantId, keyPublicId: publicId, deploymentId, servedModel, versionDigest, leaseIds: [...leaseIds] };
}
