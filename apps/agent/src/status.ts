// What the agent says of itself to whoever asks here: `/readyz`, gauges, the log.
import type { ReplicaSupervisor } from './engines/replica-supervisor.ts';
import type { OfflineParts } from './offline/assembly.ts';

export interface AgentStatus {
  readonly isReady: boolean;
  readonly reason: string;
  readonly details: {
    readonly clusterId: string;
    readonly clusterName: string;
    readonly isConnected: boolean;
    readonly epoch: number;
    readonly revision: number;
    readonly inflight: number;
    readonly queued: number;
    readonly engines: ReturnType<ReplicaSupervisor['countByPhase']>;
    /** Tasks of jobs that are here, by phase. */
    readonly tasks: Readonly<Record<string, number>>;
    readonly links: { readonly gateways: number; readonly sockets: number; readonly busy: number };
    readonly eventsPending: number;
    readonly directPort: number | undefined;
    readonly localPort: number | undefined;
    /** Null: no local endpoint is configured. */
    readonly offline: OfflineStatus | null;
  } | null;
}

export interface OfflineStatus {
  readonly permission: ReturnType<OfflineParts['bundle']['state']>['state'];
  /** 0 when it may not be used. */
  readonly permissionLeftSeconds: number;
  /** RFC 3339, this machine's clock; null: never. */
  readonly lastContact: string | null;
}

export function offlineStatus({ bundle }: OfflineParts): OfflineStatus {
  const state = bundle.state();
  const { contactMs } = bundle;
  return {
    permission: state.state,
    permissionLeftSeconds: state.state === 'valid' ? Math.floor(state.leftMs / 1_000) : 0,
    lastContact: contactMs === null ? null : new Date(contactMs).toISOString(),
  };
}
