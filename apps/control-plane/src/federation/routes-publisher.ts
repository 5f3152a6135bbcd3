/**
 * The gateways' routing view. The leader alone refreshes it; any control plane serves it.
 *
 * A hint names the sequence, the view is fetched whole. The cache only saves Postgres from many gateways asking at once:
 * whoever already has the cached sequence makes it look again, so nobody is held back by it.
 */
import { Injectable } from '@nestjs/common';
import { SUBJECTS } from '#contracts';
import { EMPTY_ROUTES, type RoutesView, Store } from '#domain';
import { publishJson } from '#messaging';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { MonotonicClock } from './fleet-liveness.ts';

const CACHE_MS = 1_000;

@Injectable()
export class RoutesPublisher {
  private cached: { view: RoutesView; atMs: number } | null = null;
  private reading: Promise<RoutesView> | null = null;

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
    private readonly clock: MonotonicClock,
  ) {}

  /**
   * The whole view. With Postgres away, the last one that this process knew, to whoever has an older one; who has it
   * already is refused, for an answer would confirm that there is nothing newer, unknown keys included (R12).
   */
  async view(have: number): Promise<RoutesView> {
    const { cached } = this;
    const isFresh = cached !== null && this.clock.nowMs() - cached.atMs < CACHE_MS;
    if (isFresh && cached.view.sequence > have) return cached.view;
    this.reading ??= this.read().finally(() => {
      this.reading = null;
    });
    return this.reading.catch((error: unknown) => {
      if (cached !== null && cached.view.sequence > have) return cached.view;
      throw error;
    });
  }

  /** Brings the view up to date and tells the gateways when it changed, or when `isAlways`. Leader only. Gives the sequence. */
  async refresh(epoch: number, isAlways: boolean): Promise<number> {
    const { view, changed } = await this.store.transaction((rows) => rows.routes.refresh(), { epoch });
    if (changed) this.cached = { view, atMs: this.clock.nowMs() };
    if (changed || isAlways) publishJson(this.nats.connection, SUBJECTS.routes, { sequence: view.sequence });
    return view.sequence;
  }

  private async read(): Promise<RoutesView> {
    const view = (await this.store.read.routes.current()) ?? EMPTY_ROUTES;
    this.cached = { view, atMs: this.clock.nowMs() };
    return view;
  }
}
