import { Module } from '@nestjs/common';
import { AgentLogs } from './agent-log.ts';

@Module({ providers: [AgentLogs], exports: [AgentLogs] })
export class AgentLogsModule {}
