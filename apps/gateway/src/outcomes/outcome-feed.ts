/**
 * Tells the control plane how answers went (contracts: outcomes): every 2 s while counts changed, and twice more after
 * the last change, so that one lost message does not hide it. Messages are whole; while NATS is out of reach counts go on.
 */
import { OUTCOMES_BYTES_MAX, OUTCOMES_INTERVAL_MS, type OutcomesMessage, SUBJECTS } from '#contracts';
import { type NatsSession, publishJson } from '#messaging';
import type { Logger } from '#telemetry';
import type { OutcomeLedger } from './outcome-ledger.ts';

/** Messages after a change; the first may be lost. */
const TELLINGS = 3;

export class OutcomeFeed {
  private timer: NodeJS.Timeout | undefined;
  private session: Pick<NatsSession, 'connection' | 'status'> | null = null;
  private sequence = 0;
  private toldChanges = 0;
  private tellingsLeft = 0;

  constructor(
    private readonly gatewayId: string,
    private readonly ledger: OutcomeLedger,
    private readonly logger: Logger,
  ) {}

  follow(session: Pick<NatsSession, 'connection' | 'status'>): void {
    this.session = session;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.tick(), OUTCOMES_INTERVAL_MS);
  }

  /** One interval has passed. */
  tick(): void {
    if (this.ledger.changes !== this.toldChanges) this.tellingsLeft = TELLINGS;
    if (this.tellingsLeft === 0 || this.session === null || this.session.status().state !== 'connected') return;
    this.toldChanges = this.ledger.changes;
    this.tellingsLeft -= 1;
    this.sequence += 1;
    try {
      publishJson(this.session.connection, SUBJECTS.outcomes, this.message());
    } catch (error) {
      this.logger.debug({ err: error }, 'outcomes not told');
    }
  }

  /** Says the last word: what was counted while draining. */
  stop(): void {
    clearInterval(this.timer);
    this.tick();
    this.session = null;
  }

  private message(): OutcomesMessage {
    const { gatewayId, sequence } = this;
    return { gatewayId, sequence, entries: fitting(this.ledger.entries()) };
  }
}

/** As many as the message's bound holds, from the first on: those that were used longest ago wait. */
export function fitting(
  entries: OutcomesMessage['entries'],
  bytesMax = OUTCOMES_BYTES_MAX,
): OutcomesMessage['entries'] {
  let bytes = ENVELOPE_BYTES;
  const end = entries.findIndex((entry) => {
    bytes += JSON.stringify(entry).length + 1;
    return bytes > bytesMax;
  });
  return end === -1 ? entries : entries.slice(0, end);
}

/** `{"gatewayId":…,"sequence":…,"entries":[]}` and some. */
const ENVELOPE_BYTES = 128;
