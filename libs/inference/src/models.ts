// `GET /v1/models`, as OpenAI clients expect it.

export interface ServedModel {
  readonly id: string;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
}

export function modelObject({ id, createdAtSeconds }: ServedModel) {
  return { id, object: 'model', created: createdAtSeconds, owned_by: 'atoll' } as const;
}

export function modelList(models: readonly ServedModel[]) {
  return { object: 'list', data: models.map(modelObject) } as const;
}
