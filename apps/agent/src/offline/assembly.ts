// The parts that let a cluster serve by itself, put together; starts nothing. Without a local endpoint there are none: what
// would be asked for nobody uses.
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { leaseReplySchema } from '#contracts';
import type { StateDocument } from '#files';
import { KeyAuthenticator, LeaseKeeper, type storedLeasesSchema, UsageJournal } from '#inference';
import { machineClock } from '#telemetry';
import type { AgentConfiguration } from '../configuration.ts';
import type { ControlLink } from '../control-link.ts';
import { LocalEndpoint } from '../data-plane/local-endpoint.ts';
import type { ReplicaRouter } from '../data-plane/replica-router.ts';
import type { DesiredKeeper } from '../desired/desired-keeper.ts';
import type { Outbox } from '../events/outbox.ts';
import type { AgentMetrics } from '../metrics.ts';
import { BudgetCharging } from './budget-charging.ts';
import { BundleKeeper, type bundleMarksSchema, type storedBundleSchema } from './bundle-keeper.ts';
import type { OfflineClock } from './offline-clock.ts';
import { OfflineServing } from './offline-serving.ts';
import type { OfflineKey } from './offline-view.ts';
import { bundleRefusal, lastSeen, uncheckedKey } from './refusals.ts';

/** Beyond so many events that wait, usage is summed up in longer segments. */
const EVENTS_WAITING_MAX = 5_000;

export interface OfflinePartsOptions {
  readonly configuration: AgentConfiguration;
  readonly clusterId: string;
  readonly clusterName: string;
  readonly bundleDocument: StateDocument<typeof storedBundleSchema>;
  readonly marksDocument: StateDocument<typeof bundleMarksSchema>;
  readonly leasesDocument: StateDocument<typeof storedLeasesSchema>;
  readonly journalFolder: string;
  readonly machineBootId: string;
  readonly link: Pick<ControlLink, 'fetchBundle' | 'askLeases' | 'isConnected'>;
  readonly outbox: Pick<Outbox, 'add' | 'pending'>;
  readonly desired: Pick<DesiredKeeper, 'state' | 'verifyingKey' | 'keyDoubted'>;
  readonly router: ReplicaRouter;
  /** Default: the machine's clocks. */
  readonly clock?: OfflineClock;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export function assembleOffline(options: OfflinePartsOptions): OfflineServing | undefined {
  const { configuration, clusterId, clusterName, link, desired, outbox, router, log, metrics } = options;
  const { clock = machineClock } = options;
  const { dataPlane, localEndpoint } = configuration;
  if (localEndpoint.listen === undefined) return undefined;
  const bundle = new BundleKeeper({
    clusterId,
    document: options.bundleDocument,
    marks: options.marksDocument,
    request: (have) => link.fetchBundle(have),
    verifyingKey: () => desired.verifyingKey,
    onDoubt: () => desired.keyDoubted(),
    onBundle: ({ bundle: { budgets } }) => leases.expect(budgets),
    clock,
    log,
  });
  const journal: UsageJournal = new UsageJournal({
    folder: options.journalFolder,
    tell: ({ id, entries }) => outbox.add({ kind: 'usage-recorded', entries }, id),
    mayTell: () => outbox.pending < EVENTS_WAITING_MAX,
    isInContact: () => link.isConnected,
    onSwitch: () => leases.snapshot(),
    log,
  });
  const leases: LeaseKeeper = new LeaseKeeper({
    holder: 'cluster',
    document: options.leasesDocument,
    journal,
    request: async (request) => leaseReplySchema.parse(await link.askLeases(request)),
    isConnected: () => link.isConnected,
    clock,
    machineBootId: options.machineBootId,
    log,
  });
  const contactWords = () => (bundle.isInContact ? '' : `; ${lastSeen(bundle.contactMs)}`);
  const local = new LocalEndpoint({
    ...localEndpoint.listen,
    clusterName,
    inflightMax: localEndpoint.inflightMax,
    bodyBytesMax: dataPlane.bodyBytesMax,
    firstByteTimeoutMs: dataPlane.firstByteTimeoutSeconds * 1000,
    idleTimeoutMs: dataPlane.idleTimeoutSeconds * 1000,
    keys: keysOf(bundle),
    view: () => bundle.view,
    versionNumberOf: (digest) => desired.state?.versions.find((version) => version.digest === digest)?.number ?? 0,
    router,
    charging: new BudgetCharging({ leases, journal, newId: () => uuidv7(), contactWords }),
    log,
    metrics,
  });
  return new OfflineServing({ bundle, journal, leases, local, log });
}

/** Keys of the bundle, for as long as it may be used. */
function keysOf(bundle: BundleKeeper): KeyAuthenticator<OfflineKey> {
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
    () => bundle.nowMs(),
    () => uncheckedKey(bundle.contactMs),
  );
}
