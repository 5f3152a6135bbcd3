// The control plane from a configuration to a listening process, and back. Used by main.ts and by integration tests.

import { hostname } from 'node:os';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { NatsTransportStrategy, readDurability } from '#messaging';
import { openStore, PostgresLeaderLease, type PostgresStore } from '#store';
import {
  createLogger,
  createMetrics,
  HealthRegistry,
  type Logger,
  type Metrics,
  NestLoggerAdapter,
  Registry,
  ShutdownSequence,
} from '#telemetry';
import { applicationModule } from './application.module.ts';
import { collectRoutes, demandAccess, installAccess, type RouteEntry } from './auth/access-hook.ts';
import { AttemptBound } from './auth/attempts.ts';
import { Authentication } from './auth/authentication.ts';
import { ensureOwnerKey } from './auth/owner-key.ts';
import { BlobStore } from './blobs/blob-store.ts';
import { Staging } from './blobs/staging.ts';
import type { ControlPlaneConfiguration } from './configuration.ts';
import { acceptBodies, closerOfUnused, createAdapter, observeRequests } from './http-server.ts';
import type { InstallationParts } from './installation/installation.module.ts';
import { PublicAddress, Settings } from './installation/settings.ts';
import { type ControlPlaneNats, connectControlPlane } from './nats/control-plane-nats.ts';
import { buildDocument, OpenApiDocument } from './openapi/document.ts';
import { ProblemsFilter } from './problems/problems.filter.ts';
import { ValidationPipe } from './problems/validation.pipe.ts';
import { Secrets } from './secrets/secrets.ts';

export interface ControlPlane {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Every HTTP route with who may call it. */
  readonly routes: readonly RouteEntry[];
  readonly app: NestFastifyApplication;
  readonly shutdown: ShutdownSequence;
  /** Stops intake, drains, closes NATS and the pool. Idempotent. */
  close(): Promise<void>;
}

export interface StartOptions {
  /** Default: JSON lines on standard output. */
  readonly logger?: Logger;
  /** Ends the wait for NATS. */
  readonly signal?: AbortSignal;
}

const NATS_CLOSE_MS = 6_000;
const POOL_CLOSE_MS = 10_000;

/** @throws StartError, StoreUnreachableError, SchemaOutdatedError: each says what to do. Nothing is left open then. */
export async function startControlPlane(
  configuration: ControlPlaneConfiguration,
  options: StartOptions = {},
): Promise<ControlPlane> {
  const logger = options.logger ?? createLogger({ process: 'control-plane', level: configuration.log.level });
  const shutdown = new ShutdownSequence(logger);
  const registry = new Registry();
  const metrics = createMetrics('control-plane', registry);

  // 1. What it stands on. What was opened is closed again when a later step fails.
  const opened: (() => Promise<unknown>)[] = [];
  try {
    const parts = await openParts(configuration, { logger, metrics, opened, signal: options.signal });

    // 2. The application, and every route's access judged before it listens.
    const health = watchHealth(parts.store, parts.nats);
    const { app, routes } = await createApplication(configuration, parts, { logger, metrics, health, registry });
    opened.push(() => app.close());
    app.get(OpenApiDocument).publish(buildDocument(app));
    demandAccess(routes);

    // 3. The first key, once.
    const { keyFile } = configuration.owner;
    if (await ensureOwnerKey(parts.store, parts.secrets, keyFile)) logger.info({ keyFile }, 'owner key written');

    // 4. Listen, then hear the fleet.
    const url = await listen(app, configuration);
    parts.address.announce(configuration.http.publicUrl ?? url);
    await app.startAllMicroservices();
    logger.info({ url, publicUrl: parts.address.url }, 'control plane is up');

    // 5. How it ends.
    addShutdownSteps(shutdown, app, parts, { health, drainMs: configuration.shutdown.drainSeconds * 1_000 });
    return { url, routes, app, shutdown, close: async () => void (await shutdown.run('close')) };
  } catch (error) {
    for (const close of opened.reverse()) await close().catch(() => undefined);
    throw error;
  }
}

type Parts = InstallationParts & { readonly store: PostgresStore };

interface Opening {
  readonly logger: Logger;
  readonly metrics: Metrics<'control-plane'>;
  readonly opened: (() => Promise<unknown>)[];
  readonly signal: AbortSignal | undefined;
}

async function openParts(configuration: ControlPlaneConfiguration, opening: Opening): Promise<Parts> {
  const { logger, metrics, opened } = opening;
  const settings = new Settings(configuration);
  const secrets = new Secrets({
    pepper: configuration.secrets.pepper.reveal(),
    blobSigningKey: configuration.secrets.blobSigningKey.reveal(),
  });
  const blobs = await BlobStore.open(configuration.blobs.directory);
  const databaseUrl = configuration.database.url.reveal();
  const onError = (error: unknown) => logger.warn({ err: error }, 'database');
  const store = await openStore({ url: databaseUrl, onError });
  opened.push(() => store.close());
  const nats = await openNats(configuration, opening);
  opened.push(() => nats.close());
  return {
    store,
    lease: new PostgresLeaderLease({ url: databaseUrl, onError }),
    nats,
    secrets,
    metrics: { metrics },
    blobs,
    staging: new Staging(blobs.directory, settings),
    settings,
    address: new PublicAddress(),
  };
}

async function openNats(configuration: ControlPlaneConfiguration, opening: Opening): Promise<ControlPlaneNats> {
  const { logger, metrics, signal } = opening;
  const { servers, agentServers = servers, operatorDirectory } = configuration.nats;
  logger.info({ servers }, 'connecting to NATS');
  const nats = await connectControlPlane({
    servers,
    agentServers,
    operatorDirectory,
    name: `control-plane-${hostname()}`,
    onError: (error) => logger.warn({ err: error }, 'NATS'),
    ...(signal ? { signal } : {}),
  });
  metrics.natsConnected.set(1);
  nats.onStatus((who, status) => {
    metrics.natsConnected.set(nats.isConnected() ? 1 : 0);
    logger.info({ who, state: status.state }, 'NATS');
  });
  await watchDurability(nats, logger, metrics);
  return nats;
}

/** R3: whether NATS could lose what it acknowledged is looked at, not assumed. Not knowing is no reason not to start. */
async function watchDurability(
  nats: ControlPlaneNats,
  logger: Logger,
  metrics: Metrics<'control-plane'>,
): Promise<void> {
  try {
    const { couldLoseAckedWrites, message } = await readDurability(nats.systemConnection);
    metrics.durabilityAtRisk.set(couldLoseAckedWrites ? 1 : 0);
    if (couldLoseAckedWrites) logger.warn(message);
  } catch (error) {
    metrics.durabilityAtRisk.set(1);
    logger.warn({ err: error }, 'NATS did not say how durable it is');
  }
}

function watchHealth(store: Parts['store'], nats: ControlPlaneNats): HealthRegistry {
  const health = new HealthRegistry();
  health.register('database', async () => {
    const isUp = await store.ping().then(
      () => true,
      () => false,
    );
    return isUp ? null : 'Postgres does not answer';
  });
  health.register('nats', () => (nats.isConnected() ? null : 'not connected'));
  return health;
}

async function createApplication(
  configuration: ControlPlaneConfiguration,
  parts: Parts,
  watching: { logger: Logger; metrics: Metrics<'control-plane'>; health: HealthRegistry; registry: Registry },
): Promise<{ app: NestFastifyApplication; routes: readonly RouteEntry[] }> {
  const { logger, metrics, health, registry } = watching;
  const { limits } = configuration;
  const adapter = createAdapter({ bodyBytesMax: limits.bodyBytesMax });
  const fastify = adapter.getInstance();
  const routes = collectRoutes(fastify);
  observeRequests(fastify, logger, metrics);
  let authentication: Authentication | undefined;
  installAccess(fastify, () => authentication!, {
    failed: new AttemptBound(limits.failedAttemptsPerMinute),
    proofs: new AttemptBound(limits.joinAttemptsPerMinute),
  });
  acceptBodies(fastify);
  const app = await NestFactory.create<NestFastifyApplication>(applicationModule(parts, health, registry), adapter, {
    logger: new NestLoggerAdapter(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalPipes(new ValidationPipe());
  app.useGlobalFilters(new ProblemsFilter());
  connectFleet(app, parts.nats, logger, metrics);
  authentication = app.get(Authentication);
  await app.init();
  return { app, routes };
}

function connectFleet(
  app: NestFastifyApplication,
  nats: ControlPlaneNats,
  logger: Logger,
  metrics: Metrics<'control-plane'>,
): void {
  const strategy = new NatsTransportStrategy({
    connection: nats.connection,
    onDropped: ({ pattern, reason }) => metrics.messagesTotal.inc({ conversation: pattern, outcome: reason }),
    onHandlerError: (error, subject) => logger.error({ err: error, subject }, 'a message was not handled'),
  });
  app.connectMicroservice({ strategy });
}

async function listen(app: NestFastifyApplication, { http }: ControlPlaneConfiguration): Promise<string> {
  await app.listen({ host: http.host, port: http.port });
  const address = app.getHttpServer().address();
  if (address === null || typeof address === 'string') throw new Error('The server listens on no port.');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

function addShutdownSteps(
  shutdown: ShutdownSequence,
  app: NestFastifyApplication,
  parts: Parts,
  options: { health: HealthRegistry; drainMs: number },
): void {
  const closeUnused = closerOfUnused(app.getHttpServer());
  shutdown.add('stop intake and drain', options.drainMs + 5_000, () => {
    options.health.beginStopping();
    closeUnused();
    // Nest waits for requests in flight; after the drain time their sockets are closed under them.
    const cut = setTimeout(() => app.getHttpServer().closeAllConnections(), options.drainMs);
    return app.close().finally(() => clearTimeout(cut));
  });
  shutdown.add('close NATS', NATS_CLOSE_MS, () => parts.nats.close());
  shutdown.add('close pool', POOL_CLOSE_MS, () => parts.store.close());
}
