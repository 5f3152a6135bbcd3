// When the control plane last answered with the truth about this cluster's tasks, and that it is asked often enough.
//
// Time is `os.uptime()`: it is the same clock in every process of one boot of the machine, and counts sleep. The moment is
// noted on disk, for the runners, which end their commands by it whether this agent lives or not, and for the next agent:
// it counts the silence from what is noted, so that a restart does not forgive any of it. What was noted in another boot
// says nothing: silent for ever, until an answer comes. An answer counts from when it was asked for.
import { mkdir, readFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { writeLightly } from '#files';
import { messageOf } from '../errors.ts';
import type { ContactRecord } from './runner/runner-contract.ts';

/** How often it is looked whether it is time to ask. */
const TICK_MS = 500;
const ASK_SECONDS_MIN = 1;
const ASK_SECONDS_MAX = 5;
/** Of the silence that a task may live through. */
const ASK_SHARE = 0.1;
const recordSchema = z.object({ atSeconds: z.number(), machineBootId: z.string() }) satisfies z.ZodType<ContactRecord>;

export interface ContactOptions {
  readonly file: string;
  readonly machineBootId: string;
  /** The shortest silence, in seconds, that something here may live through; null: the control plane's word matters to nobody. */
  readonly silenceSecondsMin: () => number | null;
  /** Asks for the desired document; the answer comes back by `answered`. */
  readonly ask: () => void;
  readonly log: Logger;
}

/**
 * Seconds between two questions. A question that gets lost takes 5 s to be known for lost; a task that may live through
 * `LOST_AFTER_SECONDS_MIN` or more of silence does not notice one (`contact.spec.ts`).
 */
export function askSeconds(silenceSecondsMin: number): number {
  return Math.min(ASK_SECONDS_MAX, Math.max(ASK_SECONDS_MIN, silenceSecondsMin * ASK_SHARE));
}

export class Contact {
  readonly #options: ContactOptions;
  #atSeconds = Number.NEGATIVE_INFINITY;
  #askedAtSeconds = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #noting: Promise<void> = Promise.resolve();

  constructor(options: ContactOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { file, machineBootId } = this.#options;
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const record = await readFile(file, 'utf8').then(
      (text) => recordSchema.safeParse(parseJson(text)).data,
      () => undefined,
    );
    // A moment that is yet to come is of another clock, such as that of a container before it was restarted.
    if (record?.machineBootId === machineBootId && record.atSeconds <= uptime()) this.#atSeconds = record.atSeconds;
  }

  start(): void {
    this.#timer = setInterval(() => this.#askWhenDue(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#noting;
  }

  #askWhenDue(): void {
    const { silenceSecondsMin, ask } = this.#options;
    const shortest = silenceSecondsMin();
    if (shortest === null || uptime() - this.#askedAtSeconds < askSeconds(shortest)) return;
    this.#askedAtSeconds = uptime();
    ask();
  }

  get silentSeconds(): number {
    return Math.max(0, uptime() - this.#atSeconds);
  }

  /** The control plane answered a question of `agoMs` ago, and what it said is applied. */
  answered(agoMs: number): void {
    this.#atSeconds = Math.max(this.#atSeconds, uptime() - agoMs / 1000);
    const { file, machineBootId, log } = this.#options;
    const record: ContactRecord = { atSeconds: this.#atSeconds, machineBootId };
    this.#noting = this.#noting
      .then(() => writeLightly(file, JSON.stringify(record)))
      .catch((cause: unknown) =>
        log.warn({ reason: messageOf(cause) }, 'contact not noted; tasks may be ended for it'),
      );
  }

  /** Resolves once what was answered is on disk, where runners see it. */
  noted(): Promise<void> {
    return this.#noting;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
