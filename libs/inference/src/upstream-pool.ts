// The one way upstream pools are made: HTTP/1.1, pipelining 1 (a stream would block what is behind it), bounded.
import { Pool } from 'undici';

export interface UpstreamPoolOptions {
  /** Sockets at most; further requests wait (bounded by `headersMs`). Default 256. */
  readonly connectionsMax?: number;
  /** Idle sockets are closed after this; default 60 000. */
  readonly keepAliveMs?: number;
  /** Default 2 000. Ignored when `connect` is a function. */
  readonly connectTimeoutMs?: number;
  /** Takes sockets from elsewhere (dialled links), or options for `net.connect` (`lookup` for checked addresses). */
  readonly connect?: Pool.Options['connect'];
}

/** A pool to one upstream, e.g. `http://127.0.0.1:8080`. The caller closes or destroys it. */
export function createUpstreamPool(origin: string, options: UpstreamPoolOptions = {}): Pool {
  const { connect } = options;
  return new Pool(origin, {
    pipelining: 1,
    allowH2: false,
    connections: options.connectionsMax ?? 256,
    keepAliveTimeout: options.keepAliveMs ?? 60_000,
    connect: typeof connect === 'function' ? connect : { timeout: options.connectTimeoutMs ?? 2_000, ...connect },
  });
}
