// The inventory of devices, and what follows when one is lost: the centre is told, and what computes on it has failed.
import type { Logger } from 'pino';
import { replicaHolder } from '#domain';
import type { AgentConfiguration } from '../configuration.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import { messageOf } from '../errors.ts';
import type { Outbox } from '../events/outbox.ts';
import type { TaskSupervisor } from '../jobs/task-supervisor.ts';
import { DeviceInventory, type LostDevice } from './device-inventory.ts';
import { toolRunner } from './discovery/tools.ts';

const HOLDERS_MAX = 64;

export interface InventoryPartsOptions {
  readonly configuration: AgentConfiguration['inventory'];
  /** Of this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly replicas: Pick<ReplicaSupervisor, 'local' | 'fail'>;
  readonly tasks: () => Pick<TaskSupervisor, 'holdings' | 'fail'>;
  readonly outbox: Pick<Outbox, 'add'>;
  readonly onChange: () => void;
  readonly log: Logger;
}

export function assembleInventory(options: InventoryPartsOptions): DeviceInventory {
  const { configuration, environment, replicas, tasks, outbox, onChange, log } = options;
  const { nodes, discover, intervalSeconds, nodeName, ...place } = configuration;
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
