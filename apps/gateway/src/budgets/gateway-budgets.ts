/**
 * The gateway's leases on budgets and its journal of what was charged, as one part: opened, followed and given back.
 *
 * Leases and journal are in the state folder, and the id that leases are held under: a gateway that comes back on its
 * folder tells what it had not told, once, and spends what is left or gives it back. One without its folder leaves its
 * leases out until their period ends, so what is lost is bounded by them.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { type GatewayUsage, type GatewayUsageReply, gatewayUsageReplySchema, idSchema, SUBJECTS } from '#contracts';
import type { RouteBudget } from '#domain';
import type { StateDocument } from '#files';
import { LeaseKeeper, storedLeasesSchema, type UsageEvent, UsageJournal } from '#inference';
import { type NatsSession, requestJson } from '#messaging';
import { type Logger, machineClock } from '#telemetry';
import type { GatewayMetrics } from '../data-plane/observer.ts';
import { stateFile } from '../state/state-file.ts';
import { RequestCharging } from './request-charging.ts';
import { within } from './within.ts';

const ASK_TIMEOUT_MS = 3_000;
/** A folder that cannot be written is tried again this often; until then there are no leases. */
const OPEN_RETRY_MS = 30_000;
/** A gateway that is killed forgets so much of what no budget asks for. */
const FLUSH_MS = 1_000;
/** So long after its start requests wait for the first contact, because leases may have ended while it was gone. */
const FIRST_CONTACT_MS = 3_000;
/** At the end; what is not given back by then is by the next gateway on this folder. */
const GIVE_BACK_MS = 3_000;

const identitySchema = z.object({ gatewayId: idSchema });

export class GatewayBudgets {
  readonly charging: RequestCharging;
  private readonly journal: UsageJournal;
  private readonly leases: LeaseKeeper;
  private readonly identity: StateDocument<typeof identitySchema>;
  private gatewayId = randomUUID() as string;
  private session: NatsSession | null = null;
  private retry: NodeJS.Timeout | undefined;
  private flushing: NodeJS.Timeout | undefined;
  private isOpen = false;
  private readonly contact = Promise.withResolvers<void>();
  private contactAwaited: Promise<void> | null = null;

  constructor(
    stateDirectory: string,
    /** Empty: time across restarts is by the wall clock, and doubted. */
    machineBootId: string,
    private readonly metrics: GatewayMetrics,
    private readonly logger: Logger,
  ) {
    const isConnected = () => this.isConnected();
    this.identity = stateFile(stateDirectory, 'gateway-id', identitySchema, logger);
    this.journal = new UsageJournal({
      folder: join(stateDirectory, 'usage'),
      tell: (event) => this.tell(event),
      mayTell: isConnected,
      isInContact: isConnected,
      onSwitch: () => this.leases.snapshot(),
      log: logger,
    });
    this.leases = new LeaseKeeper({
      holder: 'gateway',
      document: stateFile(stateDirectory, 'leases', storedLeasesSchema, logger),
      journal: this.journal,
      request: (demand) => this.ask(demand),
      isConnected,
      clock: machineClock,
      machineBootId,
      log: logger,
    });
    const firstContact = () => this.contactAwaited;
    const parts = { leases: this.leases, journal: this.journal, isConnected, firstContact, metrics };
    this.charging = new RequestCharging({ ...parts, newId: randomUUID });
  }

  /** From disk; call once, before serving. */
  async open(): Promise<void> {
    this.contactAwaited ??= within(this.contact.promise, FIRST_CONTACT_MS).finally(() => {
      this.contactAwaited = null;
    });
    try {
      const known = await this.identity.read();
      if (known === null) await this.identity.write({ gatewayId: this.gatewayId });
      else this.gatewayId = known.gatewayId;
      await this.leases.open(await this.journal.open());
      this.journal.start();
      this.leases.start();
      this.flushing = setInterval(() => this.charging.flush(), FLUSH_MS);
      this.isOpen = true;
    } catch (error) {
      this.logger.error({ err: error }, 'the state folder cannot be used: nothing is leased for now');
      this.retry = setTimeout(() => void this.open(), OPEN_RETRY_MS);
    }
  }

  /** The budgets that keys are charged to. */
  expect(budgets: readonly RouteBudget[]): void {
    this.leases.expect(budgets);
  }

  follow(session: NatsSession): void {
    this.session = session;
    this.contact.resolve();
    void this.leases.ask();
  }

  /** Tokens that can be spent now. */
  leasedTokens(): number {
    return this.leases.standing().reduce((sum, { leftTokens }) => sum + leftTokens, 0);
  }

  /** After the last answer, while there is NATS: tells all, gives all back, as far as the centre answers in time. */
  async stop(): Promise<void> {
    this.contact.resolve();
    clearTimeout(this.retry);
    clearInterval(this.flushing);
    this.charging.flush();
    this.leases.stop();
    if (this.isOpen && this.isConnected()) await within(this.giveBack(), GIVE_BACK_MS);
    await this.journal.stop();
    this.session = null;
  }

  private async giveBack(): Promise<void> {
    try {
      await this.journal.seal();
      await this.leases.giveBack();
    } catch (error) {
      this.logger.warn({ err: error }, 'leases are not given back');
    }
  }

  private isConnected(): boolean {
    return this.session?.status().state === 'connected';
  }

  private async tell({ id, entries }: UsageEvent): Promise<void> {
    const { taken } = await this.converse({ told: [{ id, at: new Date().toISOString(), entries }] });
    if (!taken.includes(id)) throw new Error('The control plane did not take what was charged.');
  }

  private async ask(demand: Pick<GatewayUsage, 'wishes' | 'returns'>): Promise<GatewayUsageReply> {
    const reply = await this.converse(demand);
    this.metrics.budgetLeasesTotal.inc({ outcome: 'granted' }, reply.grants.length);
    this.metrics.budgetLeasesTotal.inc({ outcome: 'refused' }, reply.refusals.length);
    return reply;
  }

  private async converse(part: Partial<GatewayUsage>): Promise<GatewayUsageReply> {
    if (this.session === null) throw new Error('not connected to NATS yet');
    const request = { gatewayId: this.gatewayId, told: [], wishes: [], returns: [], ...part };
    const { connection } = this.session;
    const reply = await requestJson(connection, SUBJECTS.usage, request, { timeoutMs: ASK_TIMEOUT_MS });
    return gatewayUsageReplySchema.parse(reply);
  }
}
