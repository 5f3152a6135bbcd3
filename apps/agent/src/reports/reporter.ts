// What the cluster says is so: whole, on change (coalesced over 100 ms) and at most 10 s apart. A lost report costs
// nothing, for the next is whole too; while disconnected none is made, and one follows at once on reconnect.
import type { Logger } from 'pino';
import { REPORT_INTERVAL_MS, type ReportMessage, reportSchema } from '#contracts';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';

const COALESCE_MS = 100;

export interface ReporterOptions {
  readonly bootId: string;
  readonly content: () => Omit<ReportMessage, 'bootId' | 'sequence'>;
  /** False when there is no connection now. */
  readonly publish: (report: ReportMessage) => boolean;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class Reporter {
  readonly #options: ReporterOptions;
  #sequence = 0;
  #soon: NodeJS.Timeout | undefined;
  #regular: NodeJS.Timeout | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#regular ??= setInterval(() => this.flush(), REPORT_INTERVAL_MS - COALESCE_MS);
    this.changed();
  }

  /** Something that the report shows has changed. */
  changed(): void {
    if (this.#regular === undefined) return;
    this.#soon ??= setTimeout(() => this.flush(), COALESCE_MS);
  }

  /** Now. Never throws: a report that cannot be made or sent is logged, and the next one is whole. */
  flush(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    try {
      const report = reportSchema.parse({
        ...this.#options.content(),
        bootId: this.#options.bootId,
        sequence: this.#sequence + 1,
      });
      if (!this.#options.publish(report)) return;
      this.#sequence += 1;
      this.#options.metrics.reportPublished();
    } catch (cause) {
      this.#options.log.error({ reason: messageOf(cause) }, 'the report could not be sent');
    }
  }

  stop(): void {
    clearTimeout(this.#soon);
    clearInterval(this.#regular);
    this.#regular = undefined;
  }
}
