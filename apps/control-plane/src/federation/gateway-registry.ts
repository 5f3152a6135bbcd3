/** The gateways that announced themselves lately, in memory: each control plane hears them all every 5 s. */
import { Injectable } from '@nestjs/common';
import { GATEWAY_FORGOTTEN_AFTER_MS, type GatewayAnnouncement } from '#contracts';
import { MonotonicClock } from './fleet-liveness.ts';

/** Bound of the reply's schema. At the bound the one heard of longest ago makes room. */
const GATEWAYS_MAX = 1_000;

@Injectable()
export class GatewayRegistry {
  private readonly heard = new Map<string, { announcement: GatewayAnnouncement; atMs: number }>();

  constructor(private readonly clock: MonotonicClock) {}

  announce(announcement: GatewayAnnouncement): void {
    this.heard.delete(announcement.gatewayId); // the map stays in order of age
    this.heard.set(announcement.gatewayId, { announcement, atMs: this.clock.nowMs() });
    this.forgetOld();
  }

  current(): GatewayAnnouncement[] {
    this.forgetOld();
    return [...this.heard.values()].map(({ announcement }) => announcement);
  }

  private forgetOld(): void {
    const nowMs = this.clock.nowMs();
    for (const [id, { atMs }] of this.heard) {
      if (nowMs - atMs <= GATEWAY_FORGOTTEN_AFTER_MS && this.heard.size <= GATEWAYS_MAX) return;
      this.heard.delete(id);
    }
  }
}
