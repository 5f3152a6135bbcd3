// The parts that bring versions here and keep them whole, put together; starts nothing.
import type { Logger } from 'pino';
import type { StateDocument } from '#files';
import type { AgentConfiguration } from '../configuration.ts';
import type { ControlLink } from '../control-link.ts';
import type { DesiredKeeper } from '../desired/desired-keeper.ts';
import { messageOf } from '../errors.ts';
import type { Outbox } from '../events/outbox.ts';
import type { AgentMetrics } from '../metrics.ts';
import { Measures, type measuresSchema } from './measures.ts';
import { SignatureGate } from './signature-gate.ts';
import { SyncPlanner } from './sync-planner.ts';
import { type Drift, Verification } from './verification.ts';
import type { VersionFolder } from './version-folder.ts';
import { VersionSync } from './version-sync.ts';

export interface SyncPartsOptions {
  readonly configuration: AgentConfiguration['sync'];
  readonly folder: VersionFolder;
  readonly measuresDocument: StateDocument<typeof measuresSchema>;
  readonly link: Pick<ControlLink, 'askSyncPlan' | 'fetchDesired'>;
  readonly desired: Pick<DesiredKeeper, 'blobSource' | 'position'>;
  readonly outbox: Pick<Outbox, 'add'>;
  /** Ends every engine of a version at once. */
  readonly stopVersion: (versionDigest: string, reason: string) => void;
  /** Something that the reconciler looks at, or a report shows, has changed. */
  readonly onChange: () => void;
  /** A fetch is further. */
  readonly onProgress: () => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export interface SyncParts {
  readonly sync: VersionSync;
  readonly signatures: SignatureGate;
  readonly verification: Verification;
}

export function assembleSync(options: SyncPartsOptions): SyncParts {
  const { configuration, folder, measuresDocument, link, desired, outbox, onChange, onProgress, log, metrics } =
    options;
  const warn = (cause: unknown) => log.warn({ reason: messageOf(cause) }, 'event not stored');
  const signatures = new SignatureGate(configuration.requireSignatureBy);
  const drifted = async ({ versionDigest, path, foundDigest }: Drift) => {
    options.stopVersion(versionDigest, 'its version was found damaged on disk and is being repaired');
    await outbox.add({ kind: 'version-drifted', versionDigest, path, foundDigest }).catch(warn);
  };
  const measures = new Measures({ document: measuresDocument, folder: folder.blobsFolder });
  const sync: VersionSync = new VersionSync({
    folder,
    measures,
    planner: new SyncPlanner({
      request: (question) => link.askSyncPlan(question),
      isAnswering: () =>
        link.fetchDesired(desired.position).then(
          () => true,
          () => false,
        ),
      measures: () => measures.current(),
      log,
    }),
    source: (isRefused) => desired.blobSource(isRefused),
    stallTimeoutMs: configuration.stallTimeoutSeconds * 1000,
    headroomBytes: configuration.headroomBytes,
    applyThreads: configuration.applyThreads,
    refusal: (version) => signatures.refusal(version),
    onHeld: ({ digest, files }, isNew) => {
      verification.held(digest, files);
      if (isNew) outbox.add({ kind: 'version-verified', versionDigest: digest }).catch(warn);
    },
    onDrift: (versionDigest, { path, foundDigest }) => drifted({ versionDigest, path, foundDigest }),
    onChange,
    onProgress,
    log,
    metrics,
  });
  const verification: Verification = new Verification({
    folder,
    held: () => sync.heldFiles,
    drop: (digest) => sync.drop(digest),
    onDrift: drifted,
    onVerified: (digest, at) => sync.verified(digest, at),
    onRepairable: onChange,
    bytesPerSecondMax: configuration.verifyBytesPerSecondMax,
    sampleBytes: configuration.verifySampleBytes,
    log,
    metrics,
  });
  return { sync, signatures, verification };
}
