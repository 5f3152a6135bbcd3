/** Leases on budgets, for whoever serves: one transaction a request, under locks of the budgets' rows. */
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import {
  answerLeaseRequest,
  GATEWAY_LEASE_SECONDS,
  isMember,
  type LeaseAnswer,
  type LeaseDemand,
  type LeaseHolder,
  Store,
} from '#domain';
import { Settings } from '../installation/settings.ts';

@Injectable()
export class Leases {
  constructor(
    private readonly store: Store,
    private readonly settings: Settings,
  ) {}

  /** Null when the holder is a cluster that is no member. */
  answer(holder: LeaseHolder, demand: LeaseDemand): Promise<LeaseAnswer | null> {
    const isCluster = holder.kind === 'cluster';
    const lifetimeSeconds = isCluster ? this.settings.clusterLeaseSeconds : GATEWAY_LEASE_SECONDS;
    return this.store.transaction(async (rows) => {
      const cluster = isCluster ? await rows.clusters.find({ id: holder.id }) : null;
      if (isCluster && (cluster === null || !isMember(cluster.phase))) return null;
      const { nowMs, ledger } = await rows.leases.ledger(holder, demand);
      const decision = answerLeaseRequest(demand, ledger, { holder, nowMs, lifetimeSeconds }, uuidv7);
      await rows.leases.write(holder, decision);
      return decision.answer;
    });
  }
}
