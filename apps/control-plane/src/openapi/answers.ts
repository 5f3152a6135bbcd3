// Answers that are more than a body of JSON, as the document shows them.

import { ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';

const LOCATION = { Location: { description: 'Where it is from now on', schema: { type: 'string' } } } as const;

/** What was made, and where it is: for routes that answer through `located`. */
export const CreatedAnswer = (schema: z.ZodType): MethodDecorator =>
  ApiResponse({ status: 201, headers: LOCATION, standardSchema: schema });

/** In place of ApiProduces, which would give the route's refusals this media type too. */
export const TextAnswer = (description: string, mediaType = 'text/plain'): MethodDecorator =>
  ApiResponse({ status: 200, description, content: { [mediaType]: { schema: { type: 'string' } } } });

/** @param status 200: all of it; 206: the range that was asked for */
export const BytesAnswer = (status: 200 | 206, description: string): MethodDecorator =>
  ApiResponse({
    status,
    description,
    content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
  });
