// The inventory of devices, and what follows when one is lost: the centre is told, and what computes on it has failed.
import type { Logger } from 'pino';
import { z } from 'zod';
import { nodeSchema } from '#contracts';
import { type Node, replicaHolder } from '#domain';
import type { StateDocument } from '#files';
import type { AgentConfiguration } from '../configuration.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import { messageOf } from '../errors.ts';
import type { Outbox } from '../events/outbox.ts';
import type { TaskSupervisor } from '../jobs/task-supervisor.ts';
import { KubernetesApi } from '../kubernetes/api.ts';
import type { KubernetesInventoryConfiguration } from '../kubernetes/configuration.ts';
import { ConfiguredConnection } from '../kubernetes/connection.ts';
import { NODES_MAX } from '../kubernetes/node-reading.ts';
import { KubernetesNodes } from '../kubernetes/nodes.ts';
import { DeviceInventory, type LostDevice } from './device-inventory.ts';
import { toolRunner } from './discovery/tools.ts';
import type { NodeSource } from './node-source.ts';

const HOLDERS_MAX = 64;

/** Nodes of another machine's knowledge, as they were last seen. */
export const knownNodesSchema = z.array(nodeSchema).max(NODES_MAX);

export interface InventoryPartsOptions {
  readonly configuration: AgentConfiguration['inventory'];
  /** Of this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly replicas: Pick<ReplicaSupervisor, 'local' | 'fail'>;
  readonly tasks: () => Pick<TaskSupervisor, 'holdings' | 'fail'>;
  readonly outbox: Pick<Outbox, 'add'>;
  /** The agent's public key. */
  readonly agent: string;
  readonly nodesDocument: StateDocument<typeof knownNodesSchema>;
  readonly onChange: () => void;
  readonly log: Logger;
}

export function assembleInventory(options: InventoryPartsOptions): NodeSource {
  const { kubernetes, nodes } = options.configuration;
  return kubernetes === undefined || nodes !== undefined
    ? machineInventory(options)
    : clusterNodes(options, kubernetes);
}

/** Pods fail by themselves when a device does, so none is said to be lost. */
function clusterNodes(options: InventoryPartsOptions, configuration: KubernetesInventoryConfiguration): NodeSource {
  const { agent, nodesDocument, onChange, log } = options;
  const { connection, namespace, nodeSelector } = configuration;
  const api = new KubernetesApi({ connection: new ConfiguredConnection(connection), namespace, agent });
  const memory = {
    read: () => nodesDocument.read(),
    write: (nodes: readonly Node[]) => nodesDocument.write([...nodes] as z.output<typeof knownNodesSchema>),
  };
  return new KubernetesNodes({ api, reading: configuration, labelSelector: nodeSelector, memory, onChange, log });
}

function machineInventory(options: InventoryPartsOptions): DeviceInventory {
  const { configuration, environment, replicas, tasks, outbox, onChange, log } = options;
  const { nodes, discover, intervalSeconds, nodeName, kubernetes: _, ...place } = configuration;
  const holdings = () => [
    ...replicas
      .local()
      .map(({ replicaId, devices = [] }) => ({ holder: replicaHolder(replicaId), id: replicaId, devices })),
    ...tasks()
      .holdings()
      .map(({ holder, devices }) => ({ holder, id: holder.slice('task '.length), devices })),
  ];
  const onLost = ({ node, deviceId, deviceType, reason }: LostDevice) => {
    const holders = holdings().filter(({ devices }) =>
      devices.some((each) => each.node === node && each.deviceIds.includes(deviceId)),
    );
    const ids = holders.map(({ id }) => id).slice(0, HOLDERS_MAX);
    outbox
      .add({ kind: 'device-lost', node, deviceId, deviceType, holders: ids })
      .catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'event not stored'));
    for (const id of ids) {
      replicas.fail(id, reason);
      tasks().fail(id, reason);
    }
    onChange();
  };
  return new DeviceInventory({
    configured: nodes,
    isDiscovering: discover,
    node: { name: nodeName, ...place },
    intervalMs: intervalSeconds * 1_000,
    run: toolRunner(environment),
    holdings,
    onChange,
    onLost,
    log,
  });
}
