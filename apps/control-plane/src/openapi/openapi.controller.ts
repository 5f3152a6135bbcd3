import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Controller, Get, Param, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { RefusedError, refuse } from '#domain';
import { RequirePermission } from '../auth/access.ts';
import { TextAnswer } from './answers.ts';
import { OpenApiDocument } from './document.ts';

/** Files of swagger-ui-dist that the page needs, and our own two; nothing else of that folder is served. */
const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Atoll admin API</title>
<link rel="icon" type="image/png" href="/api/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
`;

const START = `SwaggerUIBundle({ url: location.origin + '/api/openapi.json', dom_id: '#page', deepLinking: true, validatorUrl: null });
`;

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const headers = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

/** The document and a page to read it. A browser may give the key as the password of HTTP Basic. */
@ApiTags('openapi')
@Controller('api')
export class OpenApiController {
  private readonly assets = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

  constructor(private readonly document: OpenApiDocument) {}

  @Get('openapi.json')
  @RequirePermission('clusters:read', { forBrowsers: true })
  @ApiOperation({ summary: 'This document' })
  @ApiResponse({ status: 200, description: 'OpenAPI 3.1' })
  async json(@Res() reply: FastifyReply): Promise<void> {
    await reply.headers(headers).type('application/json; charset=utf-8').send(this.document.json);
  }

  @Get('docs')
  @RequirePermission('clusters:read', { forBrowsers: true })
  @ApiOperation({ summary: 'A page to read and try the API' })
  @TextAnswer('HTML', 'text/html')
  async page(@Res() reply: FastifyReply): Promise<void> {
    await reply.headers(headers).type('text/html; charset=utf-8').send(PAGE);
  }

  @Get('docs/:asset')
  @RequirePermission('clusters:read', { forBrowsers: true })
  @ApiOperation({ summary: "The page's own files" })
  @ApiResponse({ status: 200, description: 'Script, style or picture' })
  async asset(@Param('asset') asset: string, @Res() reply: FastifyReply): Promise<void> {
    if (asset === 'start.js') {
      await reply.headers(headers).type('text/javascript; charset=utf-8').send(START);
      return;
    }
    const type = Object.hasOwn(ASSETS, asset) ? ASSETS[asset] : undefined;
    if (type === undefined) throw new RefusedError(refuse.notFound('page file', asset));
    await reply
      .headers(headers)
      .type(type)
      .send(createReadStream(join(this.assets, asset)));
  }
}
