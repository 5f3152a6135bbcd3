import { Readable } from 'node:stream';
import { Controller, Get, Headers, HttpCode, Param, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { digestSchema, idSchema } from '#contracts';
import { RefusedError, refuse } from '#domain';
import { OwnProof } from '../auth/access.ts';
import { RequestError } from '../errors.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { BytesAnswer } from '../openapi/answers.ts';
import { BlobStore } from './blob-store.ts';
import { BlobTokens } from './blob-tokens.ts';
import { bytesOf } from './body-bytes.ts';
import { parseContentRange } from './ranges.ts';
import { sendBlob } from './send-blob.ts';
import { BlobUploads } from './uploads.ts';

const PROOF = 'a blob token in "Authorization: Bearer …", handed out with the desired state';
const uploadQuerySchema = z.strictObject({
  attempt: idSchema,
  size: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
/** Of HEAD, when it is asked before an upload. */
const fetchQuerySchema = uploadQuerySchema.partial();
const receivedSchema = z.object({ receivedBytes: z.int() });

@ApiTags('blobs')
@Controller('api/v1/blobs')
export class BlobsController {
  constructor(
    readonly blobs: BlobStore,
    private readonly tokens: BlobTokens,
    readonly counted: ControlPlaneMetrics,
    private readonly uploads: BlobUploads,
  ) {}

  @Get(':digest')
  @OwnProof(PROOF)
  @ApiOperation({
    summary: 'Fetch a file of a version, or of a checkpoint to resume from, by its SHA-256, whole or one byte range',
    description: 'HEAD with attempt and size asks whether an upload is needed: 200 when it is not.',
  })
  @ApiHeader({ name: 'Range', required: false, description: 'One byte range; If-Range with the ETag goes with it' })
  @BytesAnswer(200, 'The whole blob')
  @BytesAnswer(206, 'The range')
  @ApiResponse({ status: 416, description: 'The range begins behind the end' })
  async fetch(
    @Param('digest', { schema: digestSchema }) digest: string,
    @Query({ schema: fetchQuerySchema }) { attempt, size }: z.output<typeof fetchQuerySchema>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (request.method === 'HEAD' && attempt !== undefined && size !== undefined) {
      await this.#demandUploadGrant(request.headers.authorization, attempt);
      if (!(await this.uploads.keep(attempt, digest, size))) throw new RefusedError(refuse.notFound('blob', digest));
      await reply.header('content-length', size).send(Readable.from([]));
      return;
    }
    await this.#demandGrant(request.headers.authorization, digest);
    await sendBlob(request, reply, digest, this);
  }

  @Put(':digest')
  @HttpCode(200)
  @OwnProof(PROOF, { takesBytes: true })
  @ApiOperation({
    summary: 'Upload a file of a checkpoint or output by its SHA-256, whole or in parts, for an attempt that runs',
    description: 'A part at another offset is refused with 409, whose receivedBytes says where to go on.',
  })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiHeader({ name: 'Content-Range', required: false, description: '"bytes first-last/size"; default: the whole' })
  @ApiResponse({ status: 200, description: 'How much of it is here', standardSchema: receivedSchema })
  async upload(
    @Param('digest', { schema: digestSchema }) digest: string,
    @Query({ schema: uploadQuerySchema }) { attempt, size }: z.output<typeof uploadQuerySchema>,
    @Headers('content-range') contentRange: string | undefined,
    @Req() request: FastifyRequest,
  ): Promise<{ receivedBytes: number }> {
    await this.#demandUploadGrant(request.headers.authorization, attempt);
    const lengthBytes = request.headers['content-length'];
    const offset = parseContentRange(contentRange, size, lengthBytes === undefined ? null : Number(lengthBytes));
    if (offset === null) {
      const detail = `content-range must be "bytes first-last/${size}", and as long as the body.`;
      throw new RequestError(422, 'invalid', detail, {}, [{ field: 'content-range', message: detail }]);
    }
    return this.uploads.append({ attemptId: attempt, digest, sizeBytes: size, offset, source: bytesOf(request) });
  }

  async #demandUploadGrant(header: string | undefined, attemptId: string): Promise<void> {
    const verdict = await this.tokens.judgeUpload(header, attemptId);
    if (verdict === 'granted') return;
    if (verdict === 'unknown') throw unproven();
    const reason = 'This attempt does not run in your cluster any more; fetch the desired state again.';
    throw new RefusedError(refuse.forbidden(reason));
  }

  async #demandGrant(header: string | undefined, digest: string): Promise<void> {
    const verdict = await this.tokens.judge(header, digest);
    if (verdict === 'granted') return;
    if (verdict === 'not-granted') {
      throw new RefusedError(
        refuse.forbidden('This token covers no version with that file; fetch the desired state again.'),
      );
    }
    throw unproven();
  }
}

function unproven(): RequestError {
  return new RequestError(401, 'unauthenticated', 'Send the blob token of the newest desired state.', {
    'www-authenticate': 'Bearer realm="atoll-blobs"',
  });
}
