// Charging by leases and journal: room in every budget of the key, then the begin on disk, then the engine. A request that
// no budget asks for is counted too, and waits for nothing: a full disk stops only what must be charged.
import { type OpenAiError, openAiError } from '#inference';
import { isDiskFull, messageOf } from '../errors.ts';
import type { Charge, ChargedRequest, Charging, SpentTokens } from './charging.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { OfflineKey } from './offline-view.ts';
import type { UsageSubject } from './usage-entries.ts';
import type { BegunUsage, UsageJournal } from './usage-journal.ts';

const DISK_RETRY_SECONDS = 30;

export interface BudgetChargingOptions {
  readonly leases: Pick<LeaseKeeper, 'reserve' | 'settle' | 'ask'>;
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

  async begin(key: OfflineKey, request: ChargedRequest): Promise<Charge | OpenAiError> {
    const { deploymentId, servedModel, versionDigest, promptTokens, reservedTokens } = request;
    const subject = { tenantId: key.tenantId, keyPublicId: key.publicId, deploymentId, servedModel, versionDigest };
    const begun = { id: this.#options.newId(), promptTokens, reservedTokens };
    if (key.budgetIds.length === 0) return this.#uncharged({ ...begun, ...subject, leaseIds: [] });
    return this.#charged(key, { ...begun, ...subject });
  }

  async #charged(key: OfflineKey, usage: Omit<BegunUsage, 'leaseIds'>): Promise<Charge | OpenAiError> {
    const { leases, journal } = this.#options;
    const reservation = leases.reserve(key.budgetIds, usage.reservedTokens);
    if ('refused' in reservation) {
      // There may be more to have.
      void leases.ask();
      const message = `${reservation.reason}${this.#options.contactWords()}.`;
      return openAiError('insufficient_quota', { message, retryAfterSeconds: reservation.retryAfterSeconds });
    }
    try {
      await journal.begin({ ...usage, leaseIds: [...reservation.leaseIds] });
    } catch (cause) {
      leases.settle(reservation, 0);
      return unwritable(cause);
    }
    return once((spent, versionDigest) => {
      journal.end(usage.id, spent, versionDigest);
      leases.settle(reservation, spent === null ? 0 : spent.promptTokens + spent.completionTokens);
    });
  }

  #uncharged(usage: BegunUsage): Charge {
    const { journal } = this.#options;
    let isNoted = true;
    journal.begin(usage).catch(() => {
      isNoted = false;
    });
    return once((spent, versionDigest = usage.versionDigest) => {
      const { id, promptTokens: _estimate, reservedTokens: _reserved, ...subject } = usage;
      if (isNoted) journal.end(id, spent, versionDigest);
      else if (spent !== null) journal.count({ ...subject, versionDigest } satisfies UsageSubject, spent);
    });
  }
}

function unwritable(cause: unknown): OpenAiError {
  const why = isDiskFull(cause) ? 'its disk is full' : messageOf(cause);
  const message = `This cluster cannot write down what requests cost (${why}), so it takes none that are charged to a budget.`;
  return openAiError('offline_permission', { message, retryAfterSeconds: DISK_RETRY_SECONDS });
}

function once(end: (spent: SpentTokens | null, versionDigest?: string) => void): Charge {
  let isEnded = false;
  return {
    end: (spent, versionDigest) => {
      if (isEnded) return;
      isEnded = true;
      end(spent, versionDigest);
    },
  };
}
