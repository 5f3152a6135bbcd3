/**
 * Which devices of each cluster are taken as the fleet stands, kept from plan to plan: with tens of thousands of tasks it
 * is not put together anew while nothing there begins or ends. A ledger is that of its snapshot alone: it is used again
 * only where nodes, and all that holds devices, are the very same objects as before.
 */
import type { Node } from '#domain';
import { DeviceLedger } from './device-ledger.ts';
import type { Reservation } from './snapshot.ts';

export interface Holders {
  readonly nodes: readonly Node[];
  /** Of replicas, in the order of their age. */
  readonly replicas: readonly Reservation[];
  /** Of jobs. */
  readonly tasks: readonly Reservation[];
}

export class KeptLedgers {
  private readonly known = new Map<string, { readonly holders: Holders; readonly ledger: DeviceLedger }>();

  /** Of who changes it, it is from then on: see `giveAway`. */
  of(clusterId: string, holders: Holders): DeviceLedger {
    const known = this.known.get(clusterId);
    if (known !== undefined && isSame(known.holders, holders)) return known.ledger;
    const ledger = ledgerOf(holders);
    this.known.set(clusterId, { holders, ledger });
    return ledger;
  }

  /** The next plan gets another one. */
  giveAway(clusterId: string): void {
    this.known.delete(clusterId);
  }

  /** Forgets clusters that are not among these. */
  retain(clusterIds: ReadonlySet<string>): void {
    for (const id of this.known.keys()) if (!clusterIds.has(id)) this.known.delete(id);
  }
}

/** What is bound has its own devices; the rest is packed around it, what may not be on every node first. */
function ledgerOf({ nodes, replicas, tasks }: Holders): DeviceLedger {
  const ledger = new DeviceLedger(nodes);
  const held = [...replicas, ...tasks];
  for (const { holderId, devices } of held) if (devices !== null) ledger.takeBound(holderId, devices);
  const unbound = held.filter(({ devices }) => devices === null);
  const isChoosy = (each: Reservation) => each.nodes !== undefined && Object.keys(each.nodes.required).length > 0;
  for (const each of [...unbound.filter(isChoosy), ...unbound.filter((other) => !isChoosy(other))])
    ledger.takeRunning(each.holderId, each.claim, null, each.nodes);
  return ledger;
}

function isSame(known: Holders, next: Holders): boolean {
  const { nodes, replicas, tasks } = next;
  if (known.nodes !== nodes || known.tasks !== tasks || known.replicas.length !== replicas.length) return false;
  return replicas.every((replica, index) => holdsTheSame(known.replicas[index]!, replica));
}

function holdsTheSame(known: Reservation, next: Reservation): boolean {
  const { holderId, claim, devices, nodes } = next;
  return known.holderId === holderId && known.claim === claim && known.devices === devices && known.nodes === nodes;
}
