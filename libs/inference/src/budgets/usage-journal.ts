// What requests cost, on disk, wherever they are charged (a cluster's own endpoint, a gateway): a line at each begin, with
// what is reserved, and one at each end. At a start what has no end is settled at its reservation, so nothing that was
// served goes uncounted (DESIGN §7.8).
//
// Lines go to the newest of a row of segments. A segment is sealed by beginning a new one. Then, in this order: begins
// without an end yet are in the new one, the books are stored (`onSwitch`), the segment becomes events (its own id names
// them, so that a crash in the middle tells them again under the same ids, and they count once), and its file goes.
//
// Invariants: `begin` resolves when its line is on disk; a segment never changes once a newer one is begun; what is stored
// by `onSwitch` knows exactly what ended in sealed segments; no segment goes before books that know it are on disk.
// Bounds: a segment is sealed from SEGMENT_BYTES on; while too many events wait for the centre it grows up to
// SEGMENT_BYTES_MAX, and then `begin` rejects. On a full disk `begin` rejects, and ends are kept in memory, LINES_MAX of
// them; those beyond are settled at their reservation by the next start.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { syncFolder } from '#files';
import { type BeginRecord, type EndRecord, readSegment, SegmentWriter } from './journal-segment.ts';
import { eventsOf, type UsageAmount, type UsageEvent, type UsageSubject, UsageTotals } from './usage-entries.ts';

const SEGMENT_BYTES = 1024 * 1024;
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;
const LINES_MAX = 10_000;
/** An end waits this long at most for others to be written with. */
const END_DELAY_MS = 50;
const TICK_MS = 1_000;
/** In contact, what ended is told this often. */
const TELL_MS = 10_000;
const SUFFIX = '.journal';
const ORDER_DIGITS = 12;
const NAME = /^\d{12}-[0-9a-f-]{36}\.journal$/;

export interface UsageJournalOptions {
  readonly folder: string;
  /** Durable when resolved; the same event may come twice. */
  readonly tell: (event: UsageEvent) => Promise<void>;
  /** False while so many events wait that no more should be made. */
  readonly mayTell: () => boolean;
  /** True: what ended is told soon. False: only when a segment is full. */
  readonly isInContact: () => boolean;
  /** Takes down the books at this very moment; what it gives back stores them. Called in the turn of a switch. */
  readonly onSwitch: () => () => Promise<void>;
  readonly log: Logger;
  /** Makes a segment's file; replaced in specs. */
  readonly create?: (path: string) => Promise<SegmentWriter>;
}

/** A request that was begun, as its line says it. */
export type BegunUsage = Omit<BeginRecord, 'kind'>;

/** Who answered, where it is not known at the begin. */
export type AnsweredBy = Partial<Pick<UsageSubject, 'deploymentId' | 'versionDigest'>>;

/** An earlier segment, or what an agent that died left without an end. */
export interface RecoveredUsage {
  /** Later segments have higher numbers, whatever the clock says. */
  readonly order: number;
  readonly segmentId: string;
  readonly ended: readonly EndRecord[];
}

interface Segment {
  readonly order: number;
  readonly id: string;
  readonly writer: SegmentWriter;
  readonly totals: UsageTotals;
  isTouched: boolean;
}

/** What is to be done of a switch, or with a segment that was found. */
interface Sealed {
  /** Undefined: the present segment was empty, and goes on. */
  readonly segment?: Pick<Segment, 'order' | 'id'> & {
    readonly writer?: SegmentWriter;
    readonly events: readonly UsageEvent[];
  };
  /** Stores what was so at the switch; undefined for a segment that was found: the first switch after it knows it. */
  readonly store?: () => Promise<void>;
  readonly onDone: () => void;
}

export class UsageJournal {
  readonly #options: UsageJournalOptions;
  readonly #open = new Map<string, BegunUsage>();
  readonly #sealed: Sealed[] = [];
  #current: Segment | undefined;
  #lastOrder = 0;
  #sealing: Promise<void> = Promise.resolve();
  #finishing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #endTimer: NodeJS.Timeout | undefined;
  #toldAtMs = 0;
  #isFailing = false;
  #isStopped = false;

  constructor(options: UsageJournalOptions) {
    this.#options = options;
  }

  /** Requests without an end. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Nothing that ends from now on is in segments of lower numbers. */
  get currentOrder(): number {
    return this.#current?.order ?? 0;
  }

  /**
   * Reads what an earlier agent left, settles what has no end and begins a new segment. Gives what ended, by segment, in
   * their order, the last of them what was settled now.
   *
   * @throws when the folder cannot be read or written: then nothing can be charged
   */
  async open(): Promise<RecoveredUsage[]> {
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const found = await this.#readAll();
    this.#lastOrder = Math.max(this.#lastOrder, ...found.map(({ order }) => order));
    const settled = await this.#settle(found.flatMap(({ begun }) => begun).filter(isWithoutEnd(found)));
    this.#current = await this.#begin();
    const recovered = settled === null ? found : [...found, settled];
    for (const { order, segmentId, ended } of recovered) {
      const totals = new UsageTotals();
      for (const end of ended) totals.add(end, end);
      const events = eventsOf(segmentId, totals.entries());
      this.#sealed.push({ segment: { order, id: segmentId, events }, onDone: () => undefined });
    }
    return recovered.map(({ order, segmentId, ended }) => ({ order, segmentId, ended }));
  }

  /** From now on segments are sealed, and those that were found are told. Whoever keeps books knows of them by now. */
  start(): void {
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
    this.seal().catch((cause: unknown) => this.#failed(cause));
  }

  /** What ended is on disk when resolved; it is told by the next agent, or was. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#endTimer);
    if (this.#timer !== undefined) await this.#finish();
    await this.flush().catch((cause: unknown) => this.#failed(cause));
    await this.#current?.writer.close().catch(() => undefined);
    this.#current = undefined;
  }

  /** On disk when resolved. Rejects when that cannot be; then the request is as if it had not begun. */
  async begin(usage: BegunUsage): Promise<void> {
    const segment = this.#current;
    if (segment === undefined) throw new Error('The journal of usage is not open.');
    if (segment.writer.bytes > SEGMENT_BYTES_MAX) throw new Error('Too much usage waits to be told to the centre.');
    if (segment.writer.pending > LINES_MAX) throw new Error('The journal of usage cannot be written.');
    this.#open.set(usage.id, usage);
    segment.isTouched = true;
    segment.writer.add({ kind: 'begin', ...usage });
    try {
      await segment.writer.flush();
      this.#isFailing = false;
    } catch (cause) {
      this.#failed(cause);
      if (this.#open.delete(usage.id)) this.#current?.writer.add({ kind: 'nothing', id: usage.id });
      throw cause;
    }
  }

  /** Null: nothing came of it. Never throws; a second time it changes nothing. `by`: where another one answered. */
  end(id: string, amount: UsageAmount | null, by: AnsweredBy = {}): void {
    const begun = this.#open.get(id);
    if (begun === undefined || this.#current === undefined) return;
    this.#open.delete(id);
    const { promptTokens: _estimate, reservedTokens: _reserved, ...subject } = begun;
    if (amount === null) this.#note(() => this.#current!.writer.add({ kind: 'nothing', id }));
    else {
      this.#note(() => this.#count(this.#current!, { kind: 'end', ...subject, ...by, ...amount }));
    }
  }

  /** Counted without having been begun: for what needs no room of any budget, where the disk takes no begin. */
  count(subject: UsageSubject, amount: UsageAmount): void {
    const segment = this.#current;
    if (segment !== undefined)
      this.#note(() => this.#count(segment, { kind: 'end', id: uuidv7(), ...subject, ...amount }));
  }

  /** What ended is on disk when resolved. */
  async flush(): Promise<void> {
    await this.#current?.writer.flush();
  }

  /**
   * Begins a new segment, unless the present one is empty. Resolves when what `onSwitch` gave has stored the books, and all
   * that is sealed is told. `onSwitch` is called in the turn of the switch; default: that of the options.
   */
  seal(onSwitch = this.#options.onSwitch): Promise<void> {
    const next = this.#sealing.then(() => this.#sealNow(onSwitch));
    this.#sealing = next.catch(() => undefined);
    return next;
  }

  async #sealNow(onSwitch: UsageJournalOptions['onSwitch']): Promise<void> {
    const old = this.#current;
    if (old === undefined) throw new Error('The journal of usage is not open.');
    const { promise, resolve } = Promise.withResolvers<void>();
    const segment = old.isTouched ? await this.#begin() : undefined;
    if (this.#isStopped) return segment?.writer.close();
    // From here to the end of the turn nothing can end in between.
    if (segment !== undefined) this.#switchTo(segment);
    const events = eventsOf(old.id, old.totals.entries());
    const sealed = segment && { segment: { order: old.order, id: old.id, writer: old.writer, events } };
    this.#sealed.push({ ...sealed, store: onSwitch(), onDone: resolve });
    void this.#finish();
    await promise;
  }

  #switchTo(segment: Segment): void {
    this.#current = segment;
    for (const usage of this.#open.values()) segment.writer.add({ kind: 'begin', ...usage });
    segment.isTouched = this.#open.size > 0;
  }

  /** What fails is tried again at the next tick. Never rejects. */
  #finish(): Promise<void> {
    this.#finishing ??= this.#finishAll()
      .catch((cause: unknown) => this.#failed(cause))
      .finally(() => {
        this.#finishing = undefined;
      });
    return this.#finishing;
  }

  async #finishAll(): Promise<void> {
    while (this.#sealed.length > 0) {
      const batch = [...this.#sealed];
      for (const { segment } of batch) await segment?.writer?.flush();
      await this.flush();
      // The newest books know of all before them.
      await batch.findLast(({ store }) => store !== undefined)?.store?.();
      for (const { segment, onDone } of batch) {
        for (const event of segment?.events ?? []) await this.#options.tell(event);
        await segment?.writer?.close();
        if (segment !== undefined) await rm(this.#pathOf(segment), { force: true });
        this.#sealed.shift();
        onDone();
      }
    }
  }

  /** A segment of its own for what has no end, settled at its reservation; null: everything has one. */
  async #settle(dangling: readonly BeginRecord[]): Promise<RecoveredUsage | null> {
    const ended = [...new Map(dangling.map((begin) => [begin.id, settledAtReservation(begin)])).values()];
    if (ended.length === 0) return null;
    const { order, id, writer } = await this.#begin();
    try {
      for (const end of ended) writer.add(end);
      await writer.flush();
    } finally {
      await writer.close();
    }
    this.#options.log.warn({ requests: ended.length }, 'requests without an end are settled at what was reserved');
    return { order, segmentId: id, ended };
  }

  async #begin(): Promise<Segment> {
    this.#lastOrder += 1;
    const named = { order: this.#lastOrder, id: uuidv7() };
    const writer = await (this.#options.create ?? SegmentWriter.create)(this.#pathOf(named));
    await syncFolder(this.#options.folder);
    return { ...named, writer, totals: new UsageTotals(), isTouched: false };
  }

  /** Lines that nobody waits for share a batch. */
  #note(add: () => void): void {
    const { writer } = this.#current!;
    if (writer.pending <= LINES_MAX) add();
    this.#current!.isTouched = true;
    this.#endTimer ??= setTimeout(() => {
      this.#endTimer = undefined;
      this.flush().catch((cause: unknown) => this.#failed(cause));
    }, END_DELAY_MS);
  }

  #count(segment: Segment, end: EndRecord): void {
    segment.isTouched = true;
    segment.totals.add(end, end);
    segment.writer.add(end);
  }

  async #tick(): Promise<void> {
    const segment = this.#current;
    if (segment === undefined) return;
    if (this.#sealed.length > 0) return this.#finish();
    if (segment.writer.pending > 0) await this.flush().catch((cause: unknown) => this.#failed(cause));
    const { mayTell, isInContact } = this.#options;
    const isDue = isInContact() && performance.now() - this.#toldAtMs >= TELL_MS && !segment.totals.isEmpty;
    if (!mayTell() || (!isDue && segment.writer.bytes < SEGMENT_BYTES)) return;
    this.#toldAtMs = performance.now();
    await this.seal().catch((cause: unknown) => this.#failed(cause));
  }

  /** One line says so, until it works again. */
  #failed(cause: unknown): void {
    if (!this.#isFailing) this.#options.log.error({ reason: failureWords(cause) }, 'usage cannot be written down');
    this.#isFailing = true;
  }

  #pathOf({ order, id }: Pick<Segment, 'order' | 'id'>): string {
    return join(this.#options.folder, `${String(order).padStart(ORDER_DIGITS, '0')}-${id}${SUFFIX}`);
  }

  async #readAll(): Promise<ReadSegment[]> {
    const { folder, log } = this.#options;
    const names = (await readdir(folder)).filter((name) => NAME.test(name)).sort();
    const segments: ReadSegment[] = [];
    for (const name of names) {
      const { records, damaged } = await readSegment(join(folder, name));
      if (damaged > 0) log.warn({ file: name, damaged }, 'lines of the usage journal are damaged and skipped');
      const ended = new Map(records.filter((each) => each.kind === 'end').map((end) => [end.id, end]));
      segments.push({
        order: Number(name.slice(0, ORDER_DIGITS)),
        segmentId: name.slice(ORDER_DIGITS + 1, -SUFFIX.length),
        begun: records.filter((each) => each.kind === 'begin'),
        ended: [...ended.values()],
        closed: new Set(records.filter(({ kind }) => kind !== 'begin').map(({ id }) => id)),
      });
    }
    return segments;
  }
}

interface ReadSegment extends RecoveredUsage {
  readonly begun: readonly BeginRecord[];
  /** Requests with an end of whatever kind. */
  readonly closed: ReadonlySet<string>;
}

function isWithoutEnd(segments: readonly ReadSegment[]): (begin: BeginRecord) => boolean {
  return ({ id }) => !segments.some(({ closed }) => closed.has(id));
}

function settledAtReservation({ kind: _kind, reservedTokens, promptTokens, ...subject }: BeginRecord): EndRecord {
  const prompt = Math.min(promptTokens, reservedTokens);
  const amount = { promptTokens: prompt, completionTokens: reservedTokens - prompt, isEstimated: true };
  return { kind: 'end', ...subject, ...amount };
}

/** The message of anything that was thrown. By shape: an error of another realm is no instance of our Error. */
export function failureWords(cause: unknown): string {
  const message = (cause as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message : String(cause);
}
