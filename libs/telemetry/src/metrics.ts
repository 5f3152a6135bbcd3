/**
 * The one file that names every metric of every process. Each process gets an object of its own metrics only.
 * Prefix `atoll_`, unit last, labels bounded: a label's values are an enumeration, a served model or a cluster's name.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

type Kind = 'counter' | 'gauge' | 'histogram';

interface MetricRow {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Seconds; histograms only. */
  readonly buckets?: readonly number[];
}

const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const counter = (name: string, help: string, ...labels: string[]) => ({ kind: 'counter', name, help, labels }) as const;
const gauge = (name: string, help: string, ...labels: string[]) => ({ kind: 'gauge', name, help, labels }) as const;
const histogram = (name: string, help: string, ...labels: string[]) =>
  ({ kind: 'histogram', name, help, labels, buckets: REQUEST_SECONDS }) as const;

/** In every process. */
const COMMON = {
  natsConnected: gauge('atoll_nats_connected', '1 while connected to NATS, else 0'),
} as const;

export const METRICS = {
  'control-plane': {
    ...COMMON,
    httpRequestsTotal: counter('atoll_http_requests_total', 'Admin API requests answered', 'route', 'method', 'status'),
    httpRequestSeconds: histogram(
      'atoll_http_request_duration_seconds',
      'Time to answer an admin API request',
      'route',
      'method',
    ),
    authFailuresTotal: counter('atoll_auth_failures_total', 'Requests without a valid credential', 'reason'),
    messagesTotal: counter('atoll_nats_messages_total', 'Messages received', 'conversation', 'outcome'),
    reportsDroppedTotal: counter('atoll_reports_dropped_total', 'Reports refused', 'reason'),
    isLeader: gauge('atoll_leader', '1 while this process holds the leader lease'),
    leaderEpoch: gauge('atoll_leader_epoch', 'Epoch of the lease that this process last held'),
    outboxPending: gauge('atoll_outbox_pending', 'Outbox messages not yet published'),
    outboxPublishedTotal: counter('atoll_outbox_published_total', 'Outbox messages published'),
    clusters: gauge('atoll_clusters', 'Clusters by phase', 'phase'),
    schedulerDecisionsTotal: counter('atoll_scheduler_decisions_total', 'Placements decided', 'outcome'),
    schedulerSeconds: histogram('atoll_scheduler_duration_seconds', 'Time of one scheduling pass'),
    jobs: gauge('atoll_jobs', 'Jobs that are not over, by phase, seen by the leader', 'phase'),
    jobCycleSeconds: histogram('atoll_job_cycle_duration_seconds', 'Time of one cycle over jobs'),
    jobDecisionsTotal: counter('atoll_job_decisions_total', 'Starts of jobs decided', 'outcome'),
    jobPreemptionsTotal: counter('atoll_job_preemptions_total', 'Attempts asked to make room for other work'),
    jobAttemptsEndedTotal: counter('atoll_job_attempts_ended_total', 'Attempts at jobs that ended', 'outcome'),
    jobLostSecondsTotal: counter(
      'atoll_job_lost_device_seconds_total',
      'Device-seconds run by attempts that ended early and kept by no checkpoint',
      'device',
    ),
    blobBytesServedTotal: counter('atoll_blob_bytes_served_total', 'Bytes of model files sent to clusters'),
    blobBytesCollectedTotal: counter(
      'atoll_blob_bytes_collected_total',
      'Bytes of blobs removed because nothing used them',
    ),
    uploadBytesTotal: counter('atoll_upload_bytes_total', 'Bytes of model files received'),
    artifactBytesTotal: counter('atoll_artifact_bytes_total', 'Bytes of the encodings made', 'profile'),
    artifactSeconds: histogram('atoll_artifact_duration_seconds', 'Time to make and verify one artifact', 'profile'),
    artifactFailuresTotal: counter('atoll_artifact_failures_total', 'Artifacts that could not be made', 'profile'),
    routesSequence: gauge('atoll_routes_sequence', 'Sequence of the routing view'),
    rollouts: gauge('atoll_rollouts', 'Rollouts that are not over, seen by the leader', 'phase'),
    rolloutWave: gauge(
      'atoll_rollout_wave',
      'Newest open wave of an active rollout, from 1; 0 before the first',
      'model',
    ),
    rolloutAbortsTotal: counter('atoll_rollout_aborts_total', 'Rollouts taken back before their end', 'reason'),
    durabilityAtRisk: gauge('atoll_durability_at_risk', '1 when NATS could lose writes that it acknowledged'),
  },
  gateway: {
    ...COMMON,
    inferenceRequestsTotal: counter(
      'atoll_inference_requests_total',
      'Requests that reached a replica',
      'model',
      'cluster',
      'path',
      'outcome',
    ),
    inferenceRefusedTotal: counter(
      'atoll_inference_refused_total',
      'Requests answered with an error of the gateway',
      'kind',
    ),
    inferenceAttemptsTotal: counter('atoll_inference_attempts_total', 'Tries at a replica', 'outcome'),
    firstByteSeconds: histogram('atoll_inference_first_byte_seconds', 'Time to the first byte of an answer', 'path'),
    streamBrokenTotal: counter('atoll_inference_broken_total', 'Answers that broke after their first byte', 'cause'),
    budgetLeasesTotal: counter('atoll_budget_leases_total', 'Wishes for leases on budgets answered', 'outcome'),
    budgetTokensLeased: gauge('atoll_budget_tokens_leased', 'Tokens that can be spent from the leases that are held'),
    budgetTokensChargedTotal: counter('atoll_budget_tokens_charged_total', 'Tokens of answers charged to budgets'),
    budgetRefusedTotal: counter('atoll_budget_refused_total', 'Requests refused because a budget had no room'),
    linksIdle: gauge('atoll_links_idle', 'Idle sockets that agents dialled', 'cluster'),
    linksRefusedTotal: counter('atoll_links_refused_total', 'Links refused', 'reason'),
    routesSequence: gauge('atoll_routes_sequence', 'Sequence of the routing view in use'),
    routesAgeSeconds: gauge(
      'atoll_routes_age_seconds',
      'Time since the control plane confirmed the routing view; -1 before the first time',
    ),
  },
  agent: {
    ...COMMON,
    desiredRevision: gauge('atoll_desired_revision', 'Revision of the desired document that is applied'),
    desiredRefusedTotal: counter('atoll_desired_refused_total', 'Desired documents and messages refused', 'reason'),
    stateFallbacksTotal: counter(
      'atoll_state_fallbacks_total',
      'State files found damaged, and an older generation used',
      'document',
    ),
    syncBytesTotal: counter('atoll_sync_bytes_total', 'Bytes received for model versions', 'source'),
    syncMadeBytesTotal: counter(
      'atoll_sync_made_bytes_total',
      'Bytes of model files made from diffs and snapshots',
      'profile',
    ),
    syncFailuresTotal: counter('atoll_sync_failures_total', 'Fetches of a version that failed and will be tried again'),
    syncDiversionsTotal: counter(
      'atoll_sync_diversions_total',
      'Times that a fetch had to go another way than planned',
      'cause',
    ),
    versionsDriftedTotal: counter(
      'atoll_versions_drifted_total',
      'Held versions found to have other content than published',
    ),
    neighbourBytesServedTotal: counter(
      'atoll_neighbour_bytes_served_total',
      'Bytes of model files sent to clusters of the same site group',
    ),
    neighbourRefusedTotal: counter('atoll_neighbour_refused_total', 'Requests of neighbours refused', 'status'),
    verifiedBytesTotal: counter('atoll_verified_bytes_total', 'Bytes of held versions that were hashed again'),
    engines: gauge('atoll_engines', 'Engine instances by phase', 'phase'),
    engineStartsTotal: counter('atoll_engine_starts_total', 'Engine starts by outcome', 'outcome'),
    orphansEndedTotal: counter(
      'atoll_orphan_engines_ended_total',
      'Engine processes that nobody wanted and that were ended',
    ),
    requestSeconds: histogram('atoll_agent_request_duration_seconds', 'Time to answer a data plane request', 'outcome'),
    linksRefusedTotal: counter('atoll_links_refused_total', 'Links refused'),
    reportsPublishedTotal: counter('atoll_reports_published_total', 'Reports published'),
    offlinePermissionSeconds: gauge(
      'atoll_offline_permission_seconds',
      'Time for which this cluster may serve local clients without the control plane; -1 without a local endpoint',
    ),
    rivalAgents: gauge('atoll_rival_agents', 'Other agents that report with the identity of this one'),
    eventsPending: gauge('atoll_events_pending', 'Events that the control plane has not acknowledged'),
    eventsDroppedTotal: counter('atoll_events_dropped_total', 'Events dropped at the bound of the outbox'),
    tasksTotal: counter('atoll_tasks_total', 'Tasks of jobs started, adopted and ended, by outcome', 'outcome'),
    checkpointBytesTotal: counter('atoll_checkpoint_bytes_total', 'Bytes of checkpoints of jobs that were saved'),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, MetricRow>>>>;

export type MetricsProcess = keyof typeof METRICS;

type Labels<Row extends MetricRow> = Row['labels'][number];
type MetricOf<Row extends MetricRow> = Row['kind'] extends 'counter'
  ? Counter<Labels<Row>>
  : Row['kind'] extends 'gauge'
    ? Gauge<Labels<Row>>
    : Histogram<Labels<Row>>;

export type Metrics<Process extends MetricsProcess> = {
  readonly [Name in keyof (typeof METRICS)[Process]]: (typeof METRICS)[Process][Name] extends MetricRow
    ? MetricOf<(typeof METRICS)[Process][Name]>
    : never;
};

/** The metrics of one process, registered in `registry` together with Node's own. */
export function createMetrics<Process extends MetricsProcess>(process: Process, registry: Registry): Metrics<Process> {
  collectDefaultMetrics({ register: registry });
  const rows = Object.entries(METRICS[process] as Readonly<Record<string, MetricRow>>);
  return Object.fromEntries(rows.map(([key, row]) => [key, createMetric(row, registry)])) as Metrics<Process>;
}

function createMetric(row: MetricRow, registry: Registry): Counter | Gauge | Histogram {
  const options = { name: row.name, help: row.help, labelNames: [...row.labels], registers: [registry] };
  if (row.kind === 'counter') return new Counter(options);
  if (row.kind === 'gauge') return new Gauge(options);
  return new Histogram({ ...options, buckets: [...(row.buckets ?? REQUEST_SECONDS)] });
}

export { Registry };
