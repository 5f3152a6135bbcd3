// The headers of mutations, as the document shows them.

import { ApiHeader } from '@nestjs/swagger';

export const IfMatchHeader = (): MethodDecorator =>
  ApiHeader({ name: 'If-Match', required: false, description: 'ETag that was read; 412 when it has changed since' });

export const IdempotencyKeyHeader = (): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: '1 to 128 visible ASCII characters; within a day the same key repeats the answer, not the deed',
  });
