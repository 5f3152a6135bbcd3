// The parts that let a cluster serve by itself, put together; starts nothing. Without a local endpoint there are none: what
// would be asked for nobody uses.
import type { Logger } from 'pino';
import { KeyAuthenticator } from '#inference';
import type { AgentConfiguration } from '../configuration.ts';
import type { ControlLink } from '../control-link.ts';
import { LocalEndpoint } from '../data-plane/local-endpoint.ts';
import type { ReplicaRouter } from '../data-plane/replica-router.ts';
import type { DesiredKeeper } from '../desired/desired-keeper.ts';
import type { AgentMetrics } from '../metrics.ts';
import type { StateDocument } from '../state/document.ts';
import { BundleKeeper, type bundleMarksSchema, type storedBundleSchema } from './bundle-keeper.ts';
import { freeOfCharge } from './charging.ts';
import { machineClock, type OfflineClock } from './offline-clock.ts';
import type { OfflineKey } from './offline-view.ts';
import { bundleRefusal, uncheckedKey } from './refusals.ts';

export interface OfflinePartsOptions {
  readonly configuration: AgentConfiguration;
  readonly clusterId: string;
  readonly clusterName: string;
  readonly bundleDocument: StateDocument<typeof storedBundleSchema>;
  readonly marksDocument: StateDocument<typeof bundleMarksSchema>;
  readonly link: Pick<ControlLink, 'fetchBundle'>;
  readonly desired: Pick<DesiredKeeper, 'state' | 'verifyingKey' | 'keyDoubted'>;
  readonly router: ReplicaRouter;
  /** Default: the machine's clocks. */
  readonly clock?: OfflineClock;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export interface OfflineParts {
  readonly bundle: BundleKeeper;
  readonly local: LocalEndpoint;
}

export function assembleOffline(options: OfflinePartsOptions): OfflineParts | undefined {
  const { configuration, clusterId, clusterName, link, desired, router, clock = machineClock, log, metrics } = options;
  const { dataPlane, localEndpoint } = configuration;
  if (localEndpoint.listen === undefined) return undefined;
  const bundle = new BundleKeeper({
    clusterId,
    document: options.bundleDocument,
    marks: options.marksDocument,
    request: (have) => link.fetchBundle(have),
    verifyingKey: () => desired.verifyingKey,
    onDoubt: () => desired.keyDoubted(),
    clock,
    log,
  });
  const local = new LocalEndpoint({
    ...localEndpoint.listen,
    clusterName,
    inflightMax: localEndpoint.inflightMax,
    bodyBytesMax: dataPlane.bodyBytesMax,
    firstByteTimeoutMs: dataPlane.firstByteTimeoutSeconds * 1000,
    idleTimeoutMs: dataPlane.idleTimeoutSeconds * 1000,
    keys: keysOf(bundle, clock),
    view: () => bundle.view,
    versionNumberOf: (digest) => desired.state?.versions.find((version) => version.digest === digest)?.number ?? 0,
    router,
    charging: freeOfCharge,
    log,
    metrics,
  });
  return { bundle, local };
}

/** Keys of the bundle, for as long as it may be used. */
function keysOf(bundle: BundleKeeper, clock: OfflineClock): KeyAuthenticator<OfflineKey> {
  const source = {
    get pepper() {
      return bundle.view?.pepper ?? Buffer.alloc(0);
    },
    key: (publicId: string) => bundle.view?.key(publicId),
    confirm: () => bundle.confirm(),
    obstacle: () => bundleRefusal(bundle.state(), bundle.contactMs),
  };
  return new KeyAuthenticator<OfflineKey>(
    source,
    () => clock.wallMs(),
    () => uncheckedKey(bundle.contactMs),
  );
}
