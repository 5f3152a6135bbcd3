import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { heartbeatSchema, idSchema, SUBJECTS } from '#contracts';
import { clusterTokenOf } from './cluster-token.ts';
import { FleetLiveness } from './fleet-liveness.ts';
import { FederationMetrics } from './metrics.ts';

/** Every control plane hears every heartbeat: whichever becomes leader already knows who is alive. */
@Controller()
export class HeartbeatController {
  constructor(
    private readonly liveness: FleetLiveness,
    private readonly metrics: FederationMetrics,
  ) {}

  @EventPattern(SUBJECTS.heartbeat('*'))
  take(@Payload() value: unknown, @Ctx() context: unknown): void {
    const clusterId = idSchema.safeParse(clusterTokenOf(context));
    if (!clusterId.success || !heartbeatSchema.safeParse(value).success) {
      this.metrics.dropped('heartbeat', 'malformed');
      return;
    }
    this.liveness.seen(clusterId.data);
    this.metrics.taken('heartbeat');
  }
}
