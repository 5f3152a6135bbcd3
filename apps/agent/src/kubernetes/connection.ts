// Where the API server is and who we are to it. `@kubernetes/client-node` reads kubeconfigs and service accounts (tokens
// that are renewed on disk, client certificates, exec plugins); it is only loaded where Kubernetes is configured, for it
// takes 80 MB.
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

const IN_CLUSTER_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Credentials as kubectl would use them. What cannot be read is asked for again at the next request (R8). */
export class ConfiguredConnection extends KubernetesConnection {
  readonly #configuration: ConnectionConfiguration;
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
    return { headers: context.getHeaders(), dispatcher: context.getDispatcher() as Dispatcher | undefined };
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
  else config.loadFromCluster();
  if (context !== undefined) config.setCurrentContext(context);
  if (config.getCurrentCluster() === null) {
    const where = kubeconfig === undefined ? `a pod (${IN_CLUSTER_TOKEN})` : `context ${config.getCurrentContext()}`;
    throw new Error(`no cluster is named by ${where}`);
  }
  return { config, RequestContext };
}
