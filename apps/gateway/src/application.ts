/**
 * The gateway, put together: routes and life from NATS, links from agents, requests from clients. No Postgres here.
 */
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Configuration } from '#configuration';
import { routesViewSchema } from '#contracts';
import { type RouteKey, roleAllows } from '#domain';
import { isOpenAiError, KeyAuthenticator } from '#inference';
import { connectNats, inboxPrefixOf, type NatsSession, readUserJwt } from '#messaging';
import {
  bearerMatches,
  createMetrics,
  HealthRegistry,
  type Logger,
  machineBootId,
  NestLoggerAdapter,
  operationalRoutes,
  Registry,
  ShutdownSequence,
} from '#telemetry';
import { GatewayBudgets } from './budgets/gateway-budgets.ts';
import type { gatewayConfiguration } from './configuration.ts';
import { DataPlane } from './data-plane/data-plane.ts';
import { DataPlaneObserver, type GatewayMetrics } from './data-plane/observer.ts';
import { FleetView } from './fleet/fleet-view.ts';
import { gatewayModule } from './gateway.module.ts';
import { Announcer } from './links/announcer.ts';
import { ClusterTransport } from './links/cluster-transport.ts';
import { DialledLinks } from './links/dialled-links.ts';
import { LinkIntake } from './links/link-intake.ts';
import { createListener } from './listener.ts';
import { OpenAiErrorFilter } from './models/openai-error.filter.ts';
import { OutcomeFeed } from './outcomes/outcome-feed.ts';
import { OutcomeLedger } from './outcomes/outcome-ledger.ts';
import { RoutesFeed } from './routes/routes-feed.ts';
import { stateFile } from './state/state-file.ts';

const LAST_ANSWERS_MS = 1_000;

export type GatewaySettings = Configuration<typeof gatewayConfiguration>;

export interface RunningGateway {
  /** `http://host:port` */
  readonly url: string;
  readonly shutdown: ShutdownSequence;
}

export async function startGateway(settings: GatewaySettings, logger: Logger): Promise<RunningGateway> {
  const registry = new Registry();
  const metrics = createMetrics('gateway', registry);
  const health = new HealthRegistry();
  const identity = { jwt: settings.identity.jwt.reveal(), seed: settings.identity.seed.reveal() };
  const self = readUserJwt(identity.jwt);
  const own = { identity, trustedAccount: self.accountPublicKey };

  // 1. What is known, from the disk first.
  let dataPlane: DataPlane | null = null;
  const file = stateFile(settings.stateDirectory, 'routes', routesViewSchema, logger);
  const budgets = new GatewayBudgets(settings.stateDirectory, await machineBootId(), metrics, logger);
  const feed = new RoutesFeed(file, logger, (table) => {
    dataPlane?.retain(table);
    budgets.expect(table.view.budgets);
  });
  await budgets.open();
  await feed.load();
  const fleet = new FleetView(() => feed.table.clusters.keys(), logger);

  // 2. The ways to clusters, and the data plane on top.
  const links = new DialledLinks();
  const transport = new ClusterTransport(links, own, settings.limits.connectionsPerCluster);
  const keys = new KeyAuthenticator<RouteKey>({
    pepper: Buffer.from(settings.pepper.reveal(), 'utf8'),
    key: (publicId) => feed.table.key(publicId),
    confirm: () => feed.confirm(),
  });
  const limits = {
    bodyBytesMax: settings.limits.bodyBytesMax,
    firstByteMs: settings.limits.firstByteSecondsMax * 1_000,
    idleMs: settings.limits.idleSecondsMax * 1_000,
    inflightMax: settings.limits.inflightMax,
    pick: settings.routing.pick,
  };
  const outcomes = new OutcomeLedger();
  const observer = new DataPlaneObserver(metrics, outcomes, logger);
  dataPlane = new DataPlane(feed, fleet, transport, keys, limits, budgets.charging, observer);
  observeOnScrape(registry, metrics, feed, links, budgets);

  // 3. The listener.
  const mayReadMetrics = async (authorization: string | undefined) => {
    if (bearerMatches(authorization, settings.metricsToken?.reveal())) return true;
    const key = await keys.authenticate(authorization);
    return !isOpenAiError(key) && roleAllows(key.role, 'metrics:read');
  };
  const operational = operationalRoutes({ health, registry, mayReadMetrics });
  const intake = new LinkIntake(links, feed, own, logger, (reason) => metrics.linksRefusedTotal.inc({ reason }));
  const listenerLimits = {
    headersMs: settings.limits.headersSecondsMax * 1_000,
    requestMs: settings.limits.requestSecondsMax * 1_000,
    connectionsMax: settings.limits.connectionsMax,
  };
  const parts = { operational, dataPlane, keys, intake, limits: listenerLimits };
  const app = await listen(settings, logger, feed, (handler) => createListener(parts, handler));
  const address = app.getHttpServer().address() as AddressInfo;
  const endpoint = `${settings.http.host}:${address.port}`;

  // 4. NATS, in the background: a gateway without it serves what it knows.
  const announcement = {
    gatewayId: randomUUID(),
    linkEndpoint: settings.linkEndpoint ?? endpoint,
    publicKey: self.publicKey,
  };
  const announcer = new Announcer(announcement, logger);
  const outcomeFeed = new OutcomeFeed(announcement.gatewayId, outcomes, logger);
  const connecting = new AbortController();
  let session: NatsSession | null = null;
  const connected = connectNats({
    servers: settings.nats.servers,
    credentials: () => identity,
    name: 'atoll-gateway',
    inboxPrefix: inboxPrefixOf(self.name),
    signal: connecting.signal,
    onStatus: (status) => {
      const isConnected = status.state === 'connected';
      metrics.natsConnected.set(isConnected ? 1 : 0);
      fleet.setConnected(isConnected);
      logger.info({ state: status.state }, 'NATS');
      if (isConnected && session !== null) {
        feed.refetch();
        announcer.announce();
      }
    },
    onError: (error) => logger.warn({ err: error }, 'NATS'),
  }).then(
    (opened) => {
      session = opened;
      feed.follow(opened);
      fleet.follow(opened);
      announcer.follow(opened);
      outcomeFeed.follow(opened);
      budgets.follow(opened);
    },
    (error: unknown) => {
      if (!connecting.signal.aborted) logger.error({ err: error }, 'NATS is out of reach');
    },
  );
  health.register('routes', () =>
    feed.table.view.sequence > 0 ? null : 'no routing view yet; is the control plane up?',
  );

  // 5. The end, in order.
  const plane = dataPlane;
  const shutdown = new ShutdownSequence(logger)
    .add('stop intake', 1_000, () => {
      health.beginStopping();
      announcer.stop();
    })
    .add('drain', settings.shutdown.drainSeconds * 1_000, () => plane.drain())
    .add('close links', 5_000, () => {
      intake.stop();
      return transport.close();
    })
    .add('close listener', 5_000, () => closeListener(app))
    .add('give back leases', 5_000, () => budgets.stop())
    .add('close NATS', 6_000, async () => {
      connecting.abort();
      await connected;
      outcomeFeed.stop();
      await Promise.all([feed.stop(), fleet.stop()]);
      await session?.close();
    });
  logger.info({ url: `http://${endpoint}`, linkEndpoint: announcement.linkEndpoint }, 'gateway listens');
  return { url: `http://${endpoint}`, shutdown };
}

async function listen(
  settings: GatewaySettings,
  logger: Logger,
  feed: RoutesFeed,
  serverFactory: (handler: RequestListener) => Server,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({ serverFactory: (handler: RequestListener) => serverFactory(handler) });
  const app = await NestFactory.create<NestFastifyApplication>(gatewayModule(feed), adapter, {
    logger: new NestLoggerAdapter(logger),
  });
  app.useGlobalFilters(new OpenAiErrorFilter((error) => logger.error({ err: error }, 'unexpected')));
  await app.listen(settings.http.port, settings.http.host);
  return app;
}

/** Answers that are still on their way out get a moment; idle connections go at once. */
async function closeListener(app: NestFastifyApplication): Promise<void> {
  const server = app.getHttpServer();
  const closing = app.close();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
  await closing;
  clearTimeout(cut);
}

/** Gauges that are cheaper to read when somebody asks than to keep. */
function observeOnScrape(
  registry: Registry,
  metrics: GatewayMetrics,
  feed: RoutesFeed,
  links: DialledLinks,
  budgets: GatewayBudgets,
): void {
  const collect = () => {
    metrics.budgetTokensLeased.set(budgets.leasedTokens());
    metrics.routesSequence.set(feed.table.view.sequence);
    metrics.routesAgeSeconds.set(feed.ageSeconds() ?? -1);
    metrics.linksIdle.reset();
    for (const clusterId of links.clusterIds()) {
      const name = feed.table.clusters.get(clusterId)?.name ?? 'unknown';
      metrics.linksIdle.set({ cluster: name }, links.idleCount(clusterId));
    }
  };
  const scrape = registry.metrics.bind(registry);
  registry.metrics = () => {
    collect();
    return scrape();
  };
}
