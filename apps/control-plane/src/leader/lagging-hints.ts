/** Hints again to clusters that have not applied their newest document: hints are core NATS and may be lost. */
import type { NatsConnection } from '@nats-io/transport-node';
import { SUBJECTS } from '#contracts';
import { isMember, type Store } from '#domain';
import { publishJson } from '#messaging';
import { isBehind } from '../federation/report-intake.ts';

/** @returns how many were hinted */
export async function hintLagging(store: Store, connection: NatsConnection): Promise<number> {
  const { read } = store;
  const [clusters, observations, revisions] = await Promise.all([
    read.clusters.all(),
    read.observations.all(),
    read.desired.revisions(),
  ]);
  const reports = new Map(observations.map(({ clusterId, report }) => [clusterId, report]));
  const newest = new Map(revisions.map((desired) => [desired.clusterId, desired]));
  let hinted = 0;
  for (const { id, phase } of clusters) {
    if (!isMember(phase) || phase === 'Unknown') continue;
    const desired = newest.get(id);
    if (desired === undefined || !isBehind(reports.get(id) ?? { epoch: 0, revision: 0 }, desired)) continue;
    publishJson(connection, SUBJECTS.desiredHint(id), { epoch: desired.epoch, revision: desired.revision });
    hinted += 1;
  }
  return hinted;
}
