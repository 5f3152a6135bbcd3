// Charging by leases and journal: room in every budget of the key, then the begin on disk, then the engine. A request that
// no budget asks for is counted too, and waits for nothing: a full disk stops only what must be charged.
import {
  type BegunUsage,
  type Charge,
  type ChargedKey,
  type ChargedRequest,
  type Charging,
  chargeOnce,
  type LeaseKeeper,
  type OpenAiError,
  openAiError,
  type UsageJournal,
  type UsageSubject,
} from '#inference';
import { isDiskFull, messageOf } from '../errors.ts';

const DISK_RETRY_SECONDS = 30;

export interface BudgetChargingOptions {
  readonly leases: Pick<LeaseKeeper, 'reserveSoon' | 'settle'>;
  readonly journal: Pick<UsageJournal, 'begin' | 'end' | 'count'>;
  /** Names one request in the journal; new each time. */
  readonly newId: () => string;
  /** "; the centre was last seen …" while it is out of contact, else ''. */
  readonly contactWords: () => string;
}

export class BudgetCharging implements Charging {
  readonly #options: BudgetChargingOptions;

  constructor(options: BudgetChargingOptions) {
    this.#options = options;
  }

  async begin(key: ChargedKey, request: ChargedRequest): Promise<Charge | OpenAiError> {
    const { deploymentId, servedModel, versionDigest, promptTokens, reservedTokens } = request;
    const subject = { tenantId: key.tenantId, keyPublicId: key.publicId, deploymentId, servedModel, versionDigest };
    const begun = { id: this.#options.newId(), promptTokens, reservedTokens };
    if (key.budgetIds.length === 0) return this.#uncharged({ ...begun, ...subject, leaseIds: [] });
    return this.#charged(key, { ...begun, ...subject });
  }

  async #charged(key: ChargedKey, usage: Omit<BegunUsage, 'leaseIds'>): Promise<Charge | OpenAiError> {
    const { leases, journal } = this.#options;
    const reservation = await leases.reserveSoon(key.budgetIds, usage.reservedTokens);
    if ('refused' in reservation) {
      const message = `${reservation.reason}${this.#options.contactWords()}.`;
      return openAiError('insufficient_quota', { message, retryAfterSeconds: reservation.retryAfterSeconds });
    }
    try {
      await journal.begin({ ...usage, leaseIds: [...reservation.leaseIds] });
    } catch (cause) {
      leases.settle(reservation, 0);
      return unwritable(cause);
    }
    return chargeOnce((spent, by) => {
      journal.end(usage.id, spent, by);
      leases.settle(reservation, spent === null ? 0 : spent.promptTokens + spent.completionTokens);
    });
  }

  #uncharged(usage: BegunUsage): Charge {
    const { journal } = this.#options;
    let isNoted = true;
    journal.begin(usage).catch(() => {
      isNoted = false;
    });
    return chargeOnce((spent, by) => {
      const { id, promptTokens: _estimate, reservedTokens: _reserved, ...subject } = usage;
      if (isNoted) journal.end(id, spent, by);
      else if (spent !== null) journal.count({ ...subject, ...by } satisfies UsageSubject, spent);
    });
  }
}

function unwritable(cause: unknown): OpenAiError {
  const why = isDiskFull(cause) ? 'its disk is full' : messageOf(cause);
  const message = `This cluster cannot write down what requests cost (${why}), so it takes none that are charged to a budget.`;
  return openAiError('offline_permission', { message, retryAfterSeconds: DISK_RETRY_SECONDS });
}
