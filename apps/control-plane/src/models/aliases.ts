// Names that point at one published version of a model and can be moved. Every move is written to the alias's history,
// and deployments that follow the alias begin their rollouts in the same transaction.

import { Injectable } from '@nestjs/common';
import type { AliasDto } from '#contracts';
import { type Model, type ModelAlias, type ModelVersion, RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { followAlias } from '../deployments/follow-alias.ts';
import { Mutations } from '../mutations/mutations.ts';
import { findModel } from './models.ts';

const HISTORY_MAX = 50;

interface AliasTarget {
  readonly model: string;
  readonly alias: string;
}

@Injectable()
export class Aliases {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  /** By name. */
  async list(tenantId: string, modelName: string): Promise<AliasDto[]> {
    const { read } = this.store;
    const model = await findModel(read, tenantId, modelName);
    const views: AliasDto[] = [];
    for (const alias of await read.aliases.listOfModel(model.id)) views.push(await viewAlias(read, alias));
    return views;
  }

  async get(tenantId: string, target: AliasTarget): Promise<AliasDto> {
    const { read } = this.store;
    const model = await findModel(read, tenantId, target.model);
    return viewAlias(read, await findAlias(read, model, target.alias));
  }

  /** Makes the alias or moves it; where it points already nothing happens but the audit entry. */
  move(actor: Actor, target: AliasTarget, number: number): Promise<AliasDto> {
    return this.mutations.run(actor, 'aliases.move', async (rows) => {
      const model = await findModel(rows, actor.tenantId, target.model);
      const version = await lockPublished(rows, model, number);
      const before = await rows.aliases.find(model.id, target.alias, true);
      const key = { tenantId: model.tenantId, modelId: model.id, name: target.alias };
      await rows.aliases.move(key, version.id, actor.name);
      const isMoved = before?.versionId !== version.id;
      const rollouts = isMoved ? await followAlias(rows, model.id, target.alias, version.id, actor.name) : [];
      const detail = { ...target, version: number, isMoved, rollouts };
      const result = await viewAlias(rows, await findAlias(rows, model, target.alias));
      return { result, targetKind: 'model', targetId: model.id, detail };
    });
  }

  /** Refused while a deployment follows it. */
  async remove(actor: Actor, target: AliasTarget): Promise<void> {
    await this.mutations.run(actor, 'aliases.delete', async (rows) => {
      const model = await findModel(rows, actor.tenantId, target.model);
      const alias = await findAlias(rows, model, target.alias, true);
      const followers = (await rows.deployments.all())
        .filter((each) => each.modelId === model.id && each.alias === alias.name && each.deletedAt === null)
        .map(({ name }) => `"${name}"`);
      if (followers.length > 0) {
        const reason = `alias "${alias.name}" is followed by deployment ${followers.join(', ')}; give it a version first`;
        throw new RefusedError(refuse.conflict(reason));
      }
      await rows.aliases.move({ tenantId: model.tenantId, modelId: model.id, name: alias.name }, null, actor.name);
      return { result: undefined, targetKind: 'model', targetId: model.id, detail: { ...target } };
    });
  }
}

/** It stays Published until this transaction ends. @throws RefusedError invalid `version` */
async function lockPublished(rows: Rows, model: Model, number: number): Promise<ModelVersion> {
  const version = await rows.versions.find({ modelId: model.id, number }, true);
  if (version?.phase === 'Published') return version;
  const reason = `version ${number} of model "${model.name}" is ${version?.phase ?? 'not there'}; name a Published one`;
  throw new RefusedError(refuse.invalid('version', reason));
}

/** @throws RefusedError not-found */
async function findAlias(rows: Rows, model: Model, name: string, forUpdate = false): Promise<ModelAlias> {
  const alias = await rows.aliases.find(model.id, name, forUpdate);
  if (alias === null) throw new RefusedError(refuse.notFound(`alias of model "${model.name}"`, name));
  return alias;
}

async function viewAlias(rows: Rows, { modelId, name, versionId, movedAt }: ModelAlias): Promise<AliasDto> {
  const moves = await rows.aliases.history(modelId, name, HISTORY_MAX);
  const named = [versionId, ...moves.flatMap(({ fromVersionId, toVersionId }) => [fromVersionId, toVersionId])];
  const ids = new Set(named.filter((id) => id !== null));
  const versions = new Map((await rows.versions.findAll([...ids])).map((version) => [version.id, version]));
  const numberOf = (id: string | null) => (id === null ? null : (versions.get(id)?.number ?? null));
  const version = versions.get(versionId)!;
  return {
    name,
    version: version.number,
    versionDigest: version.digest!, // only a Published version is pointed at
    movedAt: movedAt.toISOString(),
    history: moves.map(({ fromVersionId, toVersionId, actor, at }) => ({
      from: numberOf(fromVersionId),
      to: numberOf(toVersionId),
      actor,
      at: at.toISOString(),
    })),
  };
}
