import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import {
  type CredentialsRequest,
  challengeReplySchema,
  credentialsRequestSchema,
  type JoinReply,
  type JoinRequest,
  joinReplySchema,
  joinRequestSchema,
} from '#contracts';
import { Store } from '#domain';
import { OpenRoute, OwnProof } from '../auth/access.ts';
import { Challenge } from './challenge.ts';
import { Joining } from './joining.ts';

/** What agents call before they have credentials for NATS. */
@ApiTags('agents')
@Controller('api/v1/agent')
export class AgentController {
  constructor(
    private readonly challenge: Challenge,
    private readonly joining: Joining,
    private readonly store: Store,
  ) {}

  @Get('challenge')
  @OpenRoute('an agent has no credentials yet; a nonce is worth nothing without the key that signs it', {
    bounded: true,
  })
  @ApiOperation({ summary: 'Get a nonce to sign, good for 60 s' })
  @ApiResponse({ status: 200, standardSchema: challengeReplySchema })
  async issue() {
    return this.challenge.issue(await this.store.read.clock.nowMs());
  }

  @Post('join')
  @HttpCode(200)
  @OwnProof('a signature by the NKey that joins')
  @ApiOperation({ summary: 'Spend a join token' })
  @ApiResponse({ status: 200, standardSchema: joinReplySchema })
  join(@Body({ schema: joinRequestSchema }) request: JoinRequest): Promise<JoinReply> {
    return this.joining.join(request);
  }

  @Post('credentials')
  @HttpCode(200)
  @OwnProof("a signature by the cluster's NKey")
  @ApiOperation({ summary: 'Renew credentials, or ask whether the cluster was accepted' })
  @ApiResponse({ status: 200, standardSchema: joinReplySchema })
  credentials(@Body({ schema: credentialsRequestSchema }) request: CredentialsRequest): Promise<JoinReply> {
    return this.joining.credentials(request);
  }
}
