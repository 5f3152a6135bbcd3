// The OpenAPI 3.1 document, from the very schemas that judge requests.

import { isDeepStrictEqual } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { problemSchema } from '#contracts';
import { documentEtags } from './etags.ts';
import { documentRefusals } from './refusals.ts';

const DESCRIPTION = `Clusters, models, deployments, jobs and queues of one Atoll installation.

Refusals are RFC 9457 problems whose \`errors\` name the fields at fault. Single resources carry an ETag; changes and
deletions honour If-Match, creations Idempotency-Key. What was made says in Location where it is. Lists are paged by \`limit\` and \`after\` (the \`next\` of the page before).`;

export function buildDocument(app: INestApplication): OpenAPIObject {
  const configuration = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Atoll admin API')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'atoll_<id>_<secret>' }, 'key')
    .build();
  const document = SwaggerModule.createDocument(app, configuration, {
    operationIdFactory: (controller, method) => `${method}${controller.replace(/Controller$/, '')}`,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? { schema: toJsonSchema(schema, schemaType) } : undefined,
  });
  const problem = toJsonSchema(problemSchema, 'output');
  documentRefusals(document.paths, (schema) => isDeepStrictEqual(schema, problem));
  documentEtags(document.paths);
  const components = {
    ...document.components,
    schemas: { ...document.components?.schemas, Problem: problem as object },
  };
  return { ...document, components };
}

function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' });
  return rest;
}

/** Set once the application is whole, read by the controller. */
export class OpenApiDocument {
  #json: string | undefined;

  publish(document: OpenAPIObject): void {
    this.#json = JSON.stringify(document);
  }

  get json(): string {
    if (this.#json === undefined) throw new Error('The document is made when the application has started.');
    return this.#json;
  }
}
