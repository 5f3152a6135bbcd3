// Hears of other agents with this agent's identity, and says what follows: the older one goes, the newer one says so.
import type { Logger } from 'pino';
import type { DesiredHint } from '#contracts';
import { BootWatch, isFenced } from '#domain';

const SAID_AGAIN_MS = 60_000;

export interface RivalGuardOptions {
  readonly bootId: string;
  /** This one is the older: it has to go. Called once. */
  readonly onFenced: (rivalBootId: string) => void;
  readonly log: Logger;
  /** Monotonic milliseconds; default performance.now. */
  readonly nowMs?: () => number;
}

export class RivalGuard {
  readonly #options: RivalGuardOptions;
  readonly #watch = new BootWatch();
  readonly #nowMs: () => number;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #isFenced = false;

  constructor(options: RivalGuardOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  /** Boots that live beside this one. */
  get rivals(): string[] {
    return this.#watch.rivalsOf(this.#options.bootId, this.#nowMs());
  }

  heard({ boots = [] }: Pick<DesiredHint, 'boots'>): void {
    const { bootId, onFenced, log } = this.#options;
    const nowMs = this.#nowMs();
    for (const boot of boots) this.#watch.heard(boot.bootId, boot.sequence, nowMs);
    const { rivals } = this;
    if (rivals.length === 0 || this.#isFenced) return;
    if (isFenced(bootId, rivals)) {
      this.#isFenced = true;
      onFenced(rivals.toSorted().at(-1)!);
    } else if (nowMs - this.#saidAtMs >= SAID_AGAIN_MS) {
      this.#saidAtMs = nowMs;
      log.error(
        { rivals },
        'an older agent with the same identity still reports; it is to stop. Was the folder copied?',
      );
    }
  }
}
