/**
 * Keeps the route table fresh: fetch at start, on every hint with a newer sequence, on reconnect and every 30 s.
 * Level-triggered: the view is whole, so a lost or repeated hint costs at most one interval. A view with a lower
 * sequence than ours is taken only when the control plane says so in answer to a fetch (a restored database), never
 * from a late hint.
 */
import { ROUTES_REFETCH_INTERVAL_MS, routesHintSchema, routesViewSchema, SUBJECTS } from '#contracts';
import { EMPTY_ROUTES, type RoutesView } from '#domain';
import type { StateDocument } from '#files';
import { type NatsSession, requestJson, subscribeJson } from '#messaging';
import type { Logger } from '#telemetry';
import { RouteTable } from './route-table.ts';

const FETCH_TIMEOUT_MS = 3_000;
/** After a failed fetch. */
const RETRY_MS = 1_000;
/** A fetch's answer, good or bad, is believed for this long before somebody who needs certainty asks anew. */
const CONFIRMED_FOR_MS = 1_000;

export class RoutesFeed {
  table = new RouteTable(EMPTY_ROUTES);
  private confirmedAtMs: number | null = null;
  private lastFetch: { readonly endedAtMs: number; readonly succeeded: boolean } | null = null;
  private timer: NodeJS.Timeout | undefined;
  private fetching: Promise<void> | null = null;
  private again = false;
  private session: NatsSession | null = null;
  private unsubscribe: (() => Promise<void>) | null = null;
  private stopped = false;

  constructor(
    private readonly file: Pick<StateDocument<typeof routesViewSchema>, 'read' | 'write'>,
    private readonly logger: Logger,
    private readonly onTable: (table: RouteTable) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Reads what the disk has; call once, before serving. */
  async load(): Promise<void> {
    const view = await this.file.read();
    if (view !== null) this.use(view);
  }

  /** Follows the control plane over this session. */
  follow(session: NatsSession): void {
    if (this.stopped) return;
    this.session = session;
    this.unsubscribe = subscribeJson(
      session.connection,
      SUBJECTS.routes,
      ({ value }) => {
        const hint = routesHintSchema.safeParse(value);
        if (hint.success && hint.data.sequence > this.table.view.sequence) this.refetch();
      },
      { onError: (error) => this.logger.warn({ err: error }, 'routes hint not understood') },
    );
    this.refetch();
  }

  /** Asks for the view now, or once more after the fetch that is under way. */
  refetch(): void {
    if (this.stopped) return;
    if (this.fetching !== null) {
      this.again = true;
      return;
    }
    clearTimeout(this.timer);
    this.fetching = this.fetch()
      .then(
        () => true,
        (error: unknown) => {
          this.logger.warn(
            { err: error, ageSeconds: this.ageSeconds() },
            'routes not fetched; serving the last known good',
          );
          return false;
        },
      )
      .then((succeeded) => {
        this.fetching = null;
        this.lastFetch = { endedAtMs: this.nowMs(), succeeded };
        if (this.stopped) return;
        const waitMs = this.again ? 0 : succeeded ? ROUTES_REFETCH_INTERVAL_MS : RETRY_MS;
        this.again = false;
        this.timer = setTimeout(() => this.refetch(), waitMs);
      });
  }

  /**
   * True when the control plane said, now or within the last second, that the table is the newest. Asks at most once a
   * second however many want to know; false at once while NATS is out of reach.
   */
  async confirm(): Promise<boolean> {
    if (this.session?.status().state !== 'connected') return false;
    const { lastFetch } = this;
    if (this.fetching === null && lastFetch !== null && this.nowMs() - lastFetch.endedAtMs < CONFIRMED_FOR_MS) {
      return lastFetch.succeeded;
    }
    if (this.fetching === null) this.refetch();
    await this.fetching;
    return this.lastFetch?.succeeded === true;
  }

  /** Seconds since the control plane last confirmed the view; null before the first time. */
  ageSeconds(): number | null {
    return this.confirmedAtMs === null ? null : (this.nowMs() - this.confirmedAtMs) / 1_000;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.unsubscribe?.();
    await this.fetching;
  }

  private async fetch(): Promise<void> {
    if (this.session === null) throw new Error('not connected to NATS yet');
    const reply = await requestJson(
      this.session.connection,
      SUBJECTS.routesFetch,
      { have: this.table.view.sequence },
      { timeoutMs: FETCH_TIMEOUT_MS },
    );
    const view = routesViewSchema.parse(reply);
    this.confirmedAtMs = this.nowMs();
    if (view.sequence === this.table.view.sequence) return;
    this.use(view);
    this.file.write(view).catch((error: unknown) => this.logger.error({ err: error }, 'routes not kept on disk'));
  }

  private use(view: RoutesView): void {
    this.table = new RouteTable(view);
    this.onTable(this.table);
    const { sequence, keys, clusters, deployments } = view;
    const counts = { keys: keys.length, clusters: clusters.length, deployments: deployments.length };
    this.logger.debug({ sequence, ...counts }, 'routes in use');
  }
}
