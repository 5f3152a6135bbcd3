// Where the API server is and who we are to it. `@kubernetes/client-node` reads kubeconfigs and service accounts (tokens
// that are renewed on disk, client certificates, exec plugins); it is only loaded where Kubernetes is configured, for it
// takes 80 MB.
import { access } from 'node:fs/promises';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Dispatcher } from 'undici';
import { KubernetesError, messageOf } from '../errors.ts';
import type { ConnectionConfiguration } from './configuration.ts';

/** Port to the credentials of one request. */
export abstract class KubernetesConnection {
  /** Origin and base path without a slash at its end. */
  abstract server(): Promise<string>;
  /** Asked before every request: tokens are renewed meanwhile. */
  abstract credentials(): Promise<{ headers: Readonly<Record<string, string>>; dispatcher?: Dispatcher }>;
}

/** Certificates are read anew after so long: they are renewed on disk. */
const DISPATCHER_MS = 600_000;
const IN_CLUSTER_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Credentials as kubectl would use them. What cannot be read is asked for again at the next request (R8). */
export class ConfiguredConnection extends KubernetesConnection {
  readonly #configuration: ConnectionConfiguration;
  #dispatcher: Dispatcher | undefined;
  #keptAtMs = Number.NEGATIVE_INFINITY;
  #loaded: Promise<{ config: KubeConfig; RequestContext: RequestContextClass }> | undefined;

  constructor(configuration: ConnectionConfiguration) {
    super();
    this.#configuration = configuration;
  }

  override async server(): Promise<string> {
    const { config } = await this.#load();
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new KubernetesError(0, '', `The kubeconfig has no cluster for its context.`);
    return cluster.server.replace(/\/+$/, '');
  }

  override async credentials() {
    const { config, RequestContext } = await this.#load();
    const context = new RequestContext(await this.server(), 'GET');
    await config.applySecurityAuthentication(context);
    const dispatcher = this.#keptDispatcher(context.getDispatcher() as Dispatcher | undefined);
    return { headers: context.getHeaders(), dispatcher };
  }

  /** The package makes one for every request; sockets are only used again where it is the same one. */
  #keptDispatcher(made: Dispatcher | undefined): Dispatcher | undefined {
    const now = performance.now();
    if (made === undefined || now - this.#keptAtMs < DISPATCHER_MS) return made && this.#dispatcher;
    // What is under way on the old one ends in peace.
    void this.#dispatcher?.close().catch(() => undefined);
    this.#dispatcher = made;
    this.#keptAtMs = now;
    return made;
  }

  #load() {
    this.#loaded ??= loadConfig(this.#configuration).catch((cause: unknown) => {
      this.#loaded = undefined;
      throw new KubernetesError(0, '', `The Kubernetes credentials cannot be read: ${messageOf(cause)}`, { cause });
    });
    return this.#loaded;
  }
}

type RequestContextClass = typeof import('@kubernetes/client-node').RequestContext;

async function loadConfig({ kubeconfig, context }: ConnectionConfiguration) {
  const { KubeConfig, RequestContext } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
  else await loadFromPod(config);
  if (context !== undefined) config.setCurrentContext(context);
  if (config.getCurrentCluster() === null) throw new Error(`context ${config.getCurrentContext()} names no cluster`);
  return { config, RequestContext };
}

async function loadFromPod(config: KubeConfig): Promise<void> {
  await access(IN_CLUSTER_TOKEN).catch((cause: unknown) => {
    const words = `the agent is in no pod with a service account (${IN_CLUSTER_TOKEN}); give connection.kubeconfig`;
    throw new Error(words, { cause });
  });
  config.loadFromCluster();
}
