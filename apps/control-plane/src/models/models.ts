import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { ModelDto } from '#contracts';
import { type Model, RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { Staging } from '../blobs/staging.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, readPage } from '../mutations/pages.ts';

@Injectable()
export class Models {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly staging: Staging,
  ) {}

  create(actor: Actor, name: string, idempotencyKey: string | undefined): Promise<ModelDto> {
    return this.mutations.create(actor, 'models.create', repeatable(idempotencyKey, { name }), async (rows) => {
      const model: Model = { id: uuidv7(), tenantId: actor.tenantId, name, createdAt: new Date(), revision: 1 };
      await rows.models.insert(model);
      return { result: viewModel(model), targetKind: 'model', targetId: model.id, detail: { name } };
    });
  }

  async list(tenantId: string, query: { limit: number; after?: string | undefined }): Promise<Page<ModelDto>> {
    const page = await readPage(tenantId, query, (request) => this.store.read.models.list(request));
    return { ...page, items: page.items.map(viewModel) };
  }

  async get(tenantId: string, name: string): Promise<ModelDto> {
    return viewModel(await findModel(this.store.read, tenantId, name));
  }

  /** With its versions; refused while a deployment uses one. */
  async remove(actor: Actor, target: { name: string; ifMatch: string | undefined }): Promise<void> {
    const versionIds = await this.mutations.run(actor, 'models.delete', async (rows) => {
      const model = await findModel(rows, actor.tenantId, target.name);
      demandMatch(target.ifMatch, model);
      const versions = await rows.versions.listOfModel(model.id);
      await rows.models.remove(model.id);
      const detail = { name: model.name, versions: versions.length };
      return { result: versions.map(({ id }) => id), targetKind: 'model', targetId: model.id, detail };
    });
    await Promise.all(versionIds.map((id) => this.staging.discard(id)));
  }
}

/** @throws RefusedError not-found */
export async function findModel(rows: Rows, tenantId: string, name: string): Promise<Model> {
  const model = await rows.models.find({ tenantId, name });
  if (model === null) throw new RefusedError(refuse.notFound('model', name));
  return model;
}

function viewModel({ id, name, createdAt, revision }: Model): ModelDto {
  return { id, name, createdAt: createdAt.toISOString(), revision };
}
