// Binds what the agent counts to the metrics that the telemetry lib names.
import type { Metrics } from '#telemetry';
import type { AgentMetrics } from './metrics.ts';
import type { AgentStatus } from './status.ts';

const ENGINE_PHASES = ['Starting', 'Ready', 'Failed', 'Stopping'] as const;

export function bindMetrics(metrics: Metrics<'agent'>): AgentMetrics {
  return {
    stateDamaged: (document) => metrics.stateFallbacksTotal.inc({ document }),
    desiredRefused: (reason) => metrics.desiredRefusedTotal.inc({ reason }),
    syncedBytes: (bytes, source) => metrics.syncBytesTotal.inc({ source }, bytes),
    fileMade: (profile, bytes) => metrics.syncMadeBytesTotal.inc({ profile }, bytes),
    syncFailed: () => metrics.syncFailuresTotal.inc(),
    syncDiverted: (cause) => metrics.syncDiversionsTotal.inc({ cause }),
    versionDrifted: () => metrics.versionsDriftedTotal.inc(),
    neighbourServed: (bytes) => metrics.neighbourBytesServedTotal.inc(bytes),
    neighbourRefused: (status) => metrics.neighbourRefusedTotal.inc({ status: String(status) }),
    verifiedBytes: (bytes) => metrics.verifiedBytesTotal.inc(bytes),
    engineStarted: () => metrics.engineStartsTotal.inc({ outcome: 'started' }),
    engineFailed: () => metrics.engineStartsTotal.inc({ outcome: 'failed' }),
    engineAdopted: () => metrics.engineStartsTotal.inc({ outcome: 'adopted' }),
    orphanEnded: () => metrics.orphansEndedTotal.inc(),
    requestFinished: (outcome, seconds) => metrics.requestSeconds.observe({ outcome }, seconds),
    linkRefused: () => metrics.linksRefusedTotal.inc(),
    reportPublished: () => metrics.reportsPublishedTotal.inc(),
    eventsDropped: (count) => metrics.eventsDroppedTotal.inc(count),
    taskStarted: () => metrics.tasksTotal.inc({ outcome: 'Started' }),
    taskAdopted: () => metrics.tasksTotal.inc({ outcome: 'Adopted' }),
    taskEnded: (outcome) => metrics.tasksTotal.inc({ outcome }),
    checkpointSaved: (bytes) => metrics.checkpointBytesTotal.inc(bytes),
  };
}

/** Gauges show the moment: call it about once a second. */
export function showStatus(metrics: Metrics<'agent'>, { details }: AgentStatus): void {
  metrics.natsConnected.set(details?.isConnected ? 1 : 0);
  if (details === null) return;
  metrics.desiredRevision.set(details.revision);
  metrics.eventsPending.set(details.eventsPending);
  metrics.offlinePermissionSeconds.set(details.offline?.permissionLeftSeconds ?? -1);
  metrics.rivalAgents.set(details.rivals.length);
  for (const phase of ENGINE_PHASES) metrics.engines.set({ phase }, details.engines[phase]);
}
