/** Tells agents where to dial: at start, on reconnect and every 5 s (contracts: gateways). */
import { GATEWAY_ANNOUNCE_INTERVAL_MS, type GatewayAnnouncement, SUBJECTS } from '#contracts';
import { type NatsSession, publishJson } from '#messaging';
import type { Logger } from '#telemetry';

export class Announcer {
  private timer: NodeJS.Timeout | undefined;
  private session: NatsSession | null = null;

  constructor(
    private readonly announcement: GatewayAnnouncement,
    private readonly logger: Logger,
  ) {}

  follow(session: NatsSession): void {
    this.session = session;
    this.announce();
    this.timer = setInterval(() => this.announce(), GATEWAY_ANNOUNCE_INTERVAL_MS);
  }

  announce(): void {
    if (this.session === null || this.session.status().state !== 'connected') return;
    try {
      publishJson(this.session.connection, SUBJECTS.gateways, this.announcement);
    } catch (error) {
      this.logger.debug({ err: error }, 'gateway not announced');
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
