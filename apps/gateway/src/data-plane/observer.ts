/** What the data plane tells of itself: metrics, outcomes, and the log lines worth writing. Never prompts, never keys (S8). */
import type { ForwardOutcome, OpenAiError } from '#inference';
import type { Candidate } from '#routing';
import type { Logger, Metrics } from '#telemetry';
import { attemptVerdict, type OutcomeLedger } from '../outcomes/outcome-ledger.ts';

export interface AttemptRecord {
  readonly requestId: string;
  readonly model: string;
  readonly candidate: Candidate;
  readonly outcome: ForwardOutcome;
  readonly attempt: number;
  readonly elapsedMs: number;
}

export type GatewayMetrics = Metrics<'gateway'>;

export class DataPlaneObserver {
  constructor(
    private readonly metrics: GatewayMetrics,
    private readonly outcomes: OutcomeLedger,
    private readonly logger: Logger,
  ) {}

  /** `requestMs` since the client's request, `attemptMs` since it was sent to this replica. */
  firstByte({ path, deployment, replica }: Candidate, status: number, requestMs: number, attemptMs: number): void {
    this.metrics.firstByteSeconds.observe({ path }, requestMs / 1_000);
    this.outcomes.firstByte(deployment.id, replica.versionDigest, status, attemptMs);
  }

  attempted(record: AttemptRecord): void {
    const { candidate, outcome, model } = record;
    const { deployment, replica } = candidate;
    this.outcomes.finished(deployment.id, replica.versionDigest, attemptVerdict(candidate, outcome));
    this.metrics.inferenceAttemptsTotal.inc({ outcome: outcome.kind });
    if (outcome.kind === 'broken') this.metrics.streamBrokenTotal.inc({ cause: outcome.cause });
    if (outcome.kind !== 'refused') {
      this.metrics.inferenceRequestsTotal.inc({
        model,
        cluster: candidate.cluster.name,
        path: candidate.path,
        outcome: outcome.kind,
      });
    }
    if (outcome.kind === 'completed' || outcome.kind === 'client-gone') return;
    this.logger.warn(
      {
        requestId: record.requestId,
        clusterId: candidate.cluster.id,
        cluster: candidate.cluster.name,
        replicaId: candidate.replica.replicaId,
        path: candidate.path,
        attempt: record.attempt,
        outcome: outcome.kind,
        cause: outcome.cause,
        elapsedMs: Math.round(record.elapsedMs),
        err: outcome.error,
      },
      outcome.kind === 'refused' ? 'attempt refused before its first byte' : 'answer broke after its first byte',
    );
  }

  refused(error: OpenAiError): void {
    this.metrics.inferenceRefusedTotal.inc({ kind: error.kind });
  }

  failed(error: unknown): void {
    this.logger.error({ err: error }, 'the data plane failed; this is a bug');
  }
}
