// The version vector of a model: reads what is reported and wanted, and leaves the judgement to the pure `agree`.

import { Injectable } from '@nestjs/common';
import type { AgreementDto } from '#contracts';
import { type Model, type Rows, Store } from '#domain';
import { findModel } from '../models/models.ts';
import { readMembers } from '../sync/version-sync.ts';
import { WallClock } from '../sync/wall-clock.ts';
import { type AgreementMember, agree } from './agree.ts';

@Injectable()
export class Agreement {
  constructor(
    private readonly store: Store,
    private readonly clock: WallClock,
  ) {}

  /** @throws RefusedError not-found */
  async show(tenantId: string, modelName: string): Promise<AgreementDto> {
    const { read } = this.store;
    const model = await findModel(read, tenantId, modelName);
    const [versions, deployments, members] = await Promise.all([
      read.versions.listOfModel(model.id),
      read.deployments.all(),
      readWithDesired(read, tenantId),
    ]);
    const ofModel = deployments.filter(({ modelId }) => modelId === model.id);
    const known = new Set(versions.map(({ digest }) => digest));
    return agree({
      modelName: model.name,
      versions,
      deploymentIds: new Set(ofModel.map(({ id }) => id)),
      digestsElsewhere: await readElsewhere(read, model, members, known),
      members,
      now: this.clock.now(),
    });
  }
}

async function readWithDesired(rows: Rows, tenantId: string): Promise<AgreementMember[]> {
  const members = await readMembers(rows, tenantId);
  return Promise.all(
    members.map(async (member) => ({ ...member, desired: await rows.desired.find(member.cluster.id) })),
  );
}

/**
 * Of the digests that clusters report and this model does not have, those that another model of the tenant has. Most are
 * named by a desired document; only for the others are more rows read.
 */
async function readElsewhere(
  rows: Rows,
  model: Model,
  members: readonly AgreementMember[],
  known: ReadonlySet<string | null>,
): Promise<Set<string>> {
  const reported = members.flatMap(({ observation }) => observation?.report.versions ?? []).map(({ digest }) => digest);
  const elsewhere = new Set(members.flatMap(({ desired }) => desired?.versions ?? []).map(({ digest }) => digest));
  const isOpen = () => reported.some((digest) => !known.has(digest) && !elsewhere.has(digest));
  if (!isOpen()) return elsewhere;
  for (const other of await rows.models.all()) {
    if (other.id === model.id || other.tenantId !== model.tenantId) continue;
    for (const { digest } of await rows.versions.listOfModel(other.id)) if (digest !== null) elsewhere.add(digest);
    if (!isOpen()) return elsewhere;
  }
  return elsewhere;
}
