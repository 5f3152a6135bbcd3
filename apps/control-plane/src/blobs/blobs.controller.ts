import { Readable } from 'node:stream';
import { Controller, Get, Headers, Param, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { digestSchema } from '#contracts';
import { RefusedError, refuse } from '#domain';
import { OwnProof } from '../auth/access.ts';
import { RequestError } from '../errors.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { BlobStore } from './blob-store.ts';
import { BlobTokens } from './blob-tokens.ts';
import { judgeRange } from './ranges.ts';

@ApiTags('blobs')
@Controller('api/v1/blobs')
export class BlobsController {
  constructor(
    private readonly blobs: BlobStore,
    private readonly tokens: BlobTokens,
    private readonly counted: ControlPlaneMetrics,
  ) {}

  @Get(':digest')
  @OwnProof('a blob token in "Authorization: Bearer …", handed out with the desired state')
  @ApiOperation({ summary: 'Fetch a file of a version by its SHA-256, whole or one byte range' })
  @ApiProduces('application/octet-stream')
  @ApiResponse({ status: 200, description: 'The whole blob' })
  @ApiResponse({ status: 206, description: 'The range' })
  @ApiResponse({ status: 416, description: 'The range begins behind the end' })
  async fetch(
    @Param('digest', { schema: digestSchema }) digest: string,
    @Headers('range') range: string | undefined,
    @Headers('if-range') ifRange: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.#demandGrant(request.headers.authorization, digest);
    const sizeBytes = await this.blobs.sizeBytes(digest);
    if (sizeBytes === null) throw new RefusedError(refuse.notFound('blob', digest));
    const etag = `"${digest}"`;
    reply.headers({ 'accept-ranges': 'bytes', etag, 'cache-control': 'private, immutable, max-age=31536000' });
    reply.type('application/octet-stream');
    const answer = judgeRange(range, ifRange, etag, sizeBytes);
    if (answer.kind === 'unsatisfiable') {
      throw new RequestError(416, 'range-not-satisfiable', `The blob has ${sizeBytes} bytes.`, {
        'content-range': `bytes */${sizeBytes}`,
      });
    }
    if (answer.kind === 'whole') {
      reply.header('content-length', sizeBytes);
      await this.#send(request, reply, digest);
      return;
    }
    const { first, last } = answer;
    reply
      .status(206)
      .headers({ 'content-range': `bytes ${first}-${last}/${sizeBytes}`, 'content-length': last - first + 1 });
    await this.#send(request, reply, digest, answer);
  }

  async #send(
    request: FastifyRequest,
    reply: FastifyReply,
    digest: string,
    range?: { first: number; last: number },
  ): Promise<void> {
    if (request.method === 'HEAD') {
      await reply.send(Readable.from([]));
      return;
    }
    const stream = this.blobs.read(digest, range);
    stream.once('close', () => this.counted.metrics.blobBytesServedTotal.inc(stream.bytesRead));
    await reply.send(stream);
  }

  async #demandGrant(header: string | undefined, digest: string): Promise<void> {
    const verdict = await this.tokens.judge(header, digest);
    if (verdict === 'granted') return;
    if (verdict === 'not-granted') {
      throw new RefusedError(
        refuse.forbidden('This token covers no version with that file; fetch the desired state again.'),
      );
    }
    throw new RequestError(401, 'unauthenticated', 'Send the blob token of the newest desired state.', {
      'www-authenticate': 'Bearer realm="atoll-blobs"',
    });
  }
}
