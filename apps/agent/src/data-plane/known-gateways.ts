// The gateways of which was heard, for an agent that restarts without any network (R4): the newest few, written to disk
// whenever one is new or is not who or where it was.
import type { GatewayAnnouncement } from '#contracts';

/** Enough to be reachable. */
const KNOWN_MAX = 32;

export class KnownGateways {
  readonly #known = new Map<string, GatewayAnnouncement>();
  readonly #write: (gateways: GatewayAnnouncement[]) => void;

  constructor(write: (gateways: GatewayAnnouncement[]) => void) {
    this.#write = write;
  }

  /** As it stands on disk; before any is heard. */
  remembered(gateway: GatewayAnnouncement): void {
    this.#known.set(gateway.gatewayId, gateway);
  }

  heard(gateway: GatewayAnnouncement): void {
    const known = this.#known.get(gateway.gatewayId);
    const isSame = known?.linkEndpoint === gateway.linkEndpoint && known.publicKey === gateway.publicKey;
    this.#known.delete(gateway.gatewayId); // the newest stand last
    this.#known.set(gateway.gatewayId, gateway);
    if (isSame) return;
    for (const id of this.#known.keys()) {
      if (this.#known.size <= KNOWN_MAX) break;
      this.#known.delete(id);
    }
    this.#write([...this.#known.values()]);
  }
}
