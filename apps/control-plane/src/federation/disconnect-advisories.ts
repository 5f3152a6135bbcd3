/**
 * NATS itself says when an agent's connection ends, sooner than three missed heartbeats do. It is passed on to gateways as
 * a hint; phases are judged from heartbeats alone.
 */
import { Injectable, Logger } from '@nestjs/common';
import { z } from 'zod';
import { idSchema, SUBJECTS } from '#contracts';
import { publishJson, subscribeJson } from '#messaging';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { MonotonicClock } from './fleet-liveness.ts';

const advisorySchema = z.object({ client: z.object({ tags: z.array(z.string()).optional() }) });

@Injectable()
export class DisconnectAdvisories {
  private readonly logger = new Logger('advisories');
  private stopListening: (() => Promise<void>) | null = null;
  /** Cluster id → when NATS last said so. As many as there are clusters. */
  private readonly toldAtMs = new Map<string, number>();

  constructor(
    private readonly nats: ControlPlaneNats,
    private readonly clock: MonotonicClock,
  ) {}

  /** Milliseconds since NATS said that the agent's connection ended; null: not that this process knows of. */
  disconnectedMs(clusterId: string): number | null {
    const toldAtMs = this.toldAtMs.get(clusterId);
    return toldAtMs === undefined ? null : this.clock.nowMs() - toldAtMs;
  }

  onApplicationBootstrap(): void {
    const account = this.nats.operator.atollAccount.publicKey;
    this.stopListening = subscribeJson(
      this.nats.systemConnection,
      `$SYS.ACCOUNT.${account}.DISCONNECT`,
      ({ value }) => this.take(value),
      { onError: (error) => this.logger.warn(`advisory: ${error.message}`) },
    );
  }

  async onModuleDestroy(): Promise<void> {
    await this.stopListening?.();
    this.stopListening = null;
  }

  private take(value: unknown): void {
    const clusterId = disconnectedCluster(value);
    if (clusterId === null) return;
    this.toldAtMs.set(clusterId, this.clock.nowMs());
    publishJson(this.nats.connection, SUBJECTS.links, { clusterId, connected: false });
  }
}

/** The cluster whose agent lost a connection; null for anybody else. An agent has only two, and needs both. */
export function disconnectedCluster(advisory: unknown): string | null {
  const parsed = advisorySchema.safeParse(advisory);
  if (!parsed.success) return null;
  const tags = parsed.data.client.tags ?? [];
  const cluster = tags.find((tag) => tag.startsWith('cluster:'))?.slice('cluster:'.length);
  const isAgent = tags.includes('role:agent');
  return isAgent && idSchema.safeParse(cluster).success ? cluster! : null;
}
