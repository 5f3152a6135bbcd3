// Serving without the centre, as one part of the agent: what is opened, started and stopped in which order.
import type { Logger } from 'pino';
import type { LeaseKeeper, UsageJournal } from '#inference';
import type { LocalEndpoint } from '../data-plane/local-endpoint.ts';
import { messageOf } from '../errors.ts';
import type { BundleKeeper, BundleState } from './bundle-keeper.ts';

/** A journal that cannot be opened (a full disk) is tried again this often; until then nothing is charged. */
const JOURNAL_RETRY_MS = 30_000;
const LISTEN_RETRY_MS = 5_000;

export interface OfflineServingOptions {
  readonly bundle: BundleKeeper;
  readonly journal: UsageJournal;
  readonly leases: LeaseKeeper;
  readonly local: LocalEndpoint;
  readonly log: Logger;
}

export interface OfflineStatus {
  readonly port: number | undefined;
  readonly permission: BundleState['state'];
  /** 0 when it may not be used. */
  readonly permissionLeftSeconds: number;
  readonly isInContact: boolean;
  /** RFC 3339, this machine's clock; null: never. */
  readonly lastContact: string | null;
  readonly leases: ReturnType<LeaseKeeper['standing']>;
  /** Requests that are charged and have not ended. */
  readonly requestsOpen: number;
}

export class OfflineServing {
  readonly bundle: BundleKeeper;
  readonly #options: OfflineServingOptions;
  #port: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #listening: NodeJS.Timeout | undefined;

  constructor(options: OfflineServingOptions) {
    this.#options = options;
    this.bundle = options.bundle;
  }

  /** From disk; after the outbox and the desired document. */
  async open(): Promise<void> {
    await this.#openJournal();
    await this.bundle.open();
  }

  /** An address that cannot be had is tried again: engines, tasks and gateways do not wait for it. Never rejects. */
  async startListening(): Promise<void> {
    const { local, log } = this.#options;
    try {
      this.#port = await local.start();
      log.info({ port: this.#port }, 'local endpoint');
    } catch (cause) {
      log.error({ reason: messageOf(cause) }, 'the local endpoint cannot listen; trying again');
      this.#listening = setTimeout(() => void this.startListening(), LISTEN_RETRY_MS);
    }
  }

  startAsking(): void {
    this.bundle.start();
    this.#options.leases.start();
  }

  /** NATS is there (again). */
  async connected(): Promise<void> {
    await this.bundle.fetch();
    await this.#options.leases.ask();
  }

  stopListening(drainMs: number): Promise<void> {
    clearTimeout(this.#listening);
    return this.#options.local.stop(drainMs);
  }

  /** After the last answer. */
  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    this.#options.leases.stop();
    await this.bundle.stop();
    await this.#options.journal.stop();
  }

  status(): OfflineStatus {
    const { journal, leases } = this.#options;
    const state = this.bundle.state();
    const { contactMs, isInContact } = this.bundle;
    return {
      port: this.#port,
      permission: state.state,
      permissionLeftSeconds: state.state === 'valid' ? Math.floor(state.leftMs / 1_000) : 0,
      isInContact,
      lastContact: contactMs === null ? null : new Date(contactMs).toISOString(),
      leases: leases.standing(),
      requestsOpen: journal.openCount,
    };
  }

  async #openJournal(): Promise<void> {
    const { journal, leases, log } = this.#options;
    try {
      await leases.open(await journal.open());
      const { view } = this.bundle;
      if (view !== undefined) leases.expect(view.bundle.budgets);
      journal.start();
    } catch (cause) {
      log.error({ reason: messageOf(cause) }, 'the journal of usage cannot be opened: nothing is charged for now');
      this.#retry = setTimeout(() => void this.#openJournal(), JOURNAL_RETRY_MS);
    }
  }
}
