// What the agent says of itself to whoever asks here: `/readyz`, gauges, the log.
import type { ReplicaSupervisor } from './engines/replica-supervisor.ts';
import type { OfflineStatus } from './offline/offline-serving.ts';

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
    /** Null: no local endpoint is configured. */
    readonly offline: OfflineStatus | null;
    /** Boots of other agents that report with this one's identity. */
    readonly rivals: readonly string[];
  } | null;
}
