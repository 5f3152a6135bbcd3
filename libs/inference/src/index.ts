// The OpenAI surface and data plane that gateway, agent and engine serve: schemas, errors, SSE, usage, forwarding.

export * from './budgets/lease-book.ts';
export * from './budgets/lease-book-snapshot.ts';
export * from './dialects/adapt-error.ts';
export * from './dialects/adapt-request.ts';
export * from './dialects/dialects.ts';
export * from './engine-child/engine-exit.ts';
export * from './engine-child/instance-folder.ts';
export * from './engine-child/slots.ts';
export * from './engine-child/stop-text.ts';
export * from './errors.ts';
export * from './forward.ts';
export * from './forward-outcome.ts';
export * from './headers.ts';
export * from './keys.ts';
export * from './min-version.ts';
export * from './models.ts';
export * from './public-server.ts';
export * from './request-body.ts';
export * from './request-id.ts';
export * from './routing-fields.ts';
export * from './schemas.ts';
export * from './sse.ts';
export * from './surfaces.ts';
export * from './upstream-pool.ts';
export * from './usage.ts';
