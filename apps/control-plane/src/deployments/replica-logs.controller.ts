/** What the engine of one replica wrote. Its agent keeps it, also of those that the agent started by itself. */
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  idSchema,
  nameSchema,
  problemSchema,
  type ReplicaLogsQuery,
  type ReplicaLogsRequest,
  replicaLogsQuerySchema,
  TASK_LOG_ANSWER_BYTES_MAX,
} from '#contracts';
import { type Cluster, RefusedError, refuse, Store } from '#domain';
import { AgentLogs, type LogSource } from '../agent-logs/agent-log.ts';
import { sendLog } from '../agent-logs/send-log.ts';
import { CurrentActor, RequirePermission } from '../auth/access.ts';
import type { Actor } from '../auth/actor.ts';
import { TextAnswer } from '../openapi/answers.ts';
import { findDeployment } from './wanted-version.ts';

@ApiTags('deployments')
@Controller('api/v1/deployments')
export class ReplicaLogsController {
  constructor(
    private readonly store: Store,
    private readonly logs: AgentLogs,
  ) {}

  @Get(':name/replicas/:replica/logs')
  @RequirePermission('deployments:read')
  @ApiOperation({ summary: 'What the engine of a replica wrote; with follow=true as it comes' })
  @TextAnswer('The log. A line that begins with [atoll] says why it breaks off')
  @ApiResponse({
    status: 503,
    description: 'Its cluster cannot be asked, or too many follow logs',
    standardSchema: problemSchema,
  })
  async read(
    @Param('name', { schema: nameSchema }) name: string,
    @Param('replica', { schema: idSchema }) replicaId: string,
    @Query({ schema: replicaLogsQuerySchema }) { follow, tailBytes }: ReplicaLogsQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const source = await this.sourceOf(actor.tenantId, name, replicaId);
    const wish = { follows: follow === 'true', tailBytes };
    await sendLog(request, reply, wish.follows, (listening) => this.logs.read(source, wish, listening));
  }

  private async sourceOf(tenantId: string, name: string, replicaId: string): Promise<LogSource> {
    const deployment = await findDeployment(this.store.read, tenantId, name);
    const cluster = await this.clusterOf(deployment.id, replicaId);
    if (cluster === null) throw new RefusedError(refuse.notFound(`replica of ${name}`, replicaId));
    return {
      title: `replica ${replicaId}`,
      cluster,
      verb: 'replica-logs',
      requestFrom: (offset): ReplicaLogsRequest => ({ replicaId, offset, bytesMax: TASK_LOG_ANSWER_BYTES_MAX }),
      hasEnded: async () => (await this.clusterOf(deployment.id, replicaId)) === null,
    };
  }

  /** Where it is placed or, for one that an agent started by itself, reported. */
  private async clusterOf(deploymentId: string, replicaId: string): Promise<Cluster | null> {
    const { placements, observations, clusters } = this.store.read;
    const placed = (await placements.live({ deploymentId })).find(({ id }) => id === replicaId);
    if (placed !== undefined) return clusters.find({ id: placed.clusterId });
    const reporting = (await observations.all()).find(({ report }) =>
      report.replicas.some((each) => each.replicaId === replicaId && each.deploymentId === deploymentId),
    );
    return reporting === undefined ? null : clusters.find({ id: reporting.clusterId });
  }
}
