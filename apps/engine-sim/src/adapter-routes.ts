// The models that are served: the base and the adapters that were loaded beside it, by vLLM's routes.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { readBody } from './sim-request.ts';

const LOAD_PATH = '/v1/load_lora_adapter';
const UNLOAD_PATH = '/v1/unload_lora_adapter';
const ADAPTERS_MAX = 100;
const adapterSchema = z.object({ lora_name: z.string().min(1), lora_path: z.string().min(1).optional() });

export class AdapterRoutes {
  /** Name → path. */
  readonly loaded = new Map<string, string>();
  readonly #model: string;
  readonly #createdSeconds = Math.floor(Date.now() / 1_000);

  constructor(model: string) {
    this.#model = model;
  }

  has(path: string): boolean {
    return path === LOAD_PATH || path === UNLOAD_PATH;
  }

  models(contextSize: number): object {
    const card = (id: string, root: string, parent: string | null) => ({
      ...{ id, object: 'model', created: this.#createdSeconds, owned_by: 'vllm', root, parent },
      max_model_len: contextSize,
    });
    const adapters = [...this.loaded].map(([name, path]) => card(name, path, this.#model));
    return { object: 'list', data: [card(this.#model, this.#model, null), ...adapters] };
  }

  async answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const parsed = adapterSchema.safeParse(parseJson(body));
    if (!parsed.success)
      return refuse(response, 400, 'BadRequestError', "Both 'lora_name' and 'lora_path' must be provided.");
    const { lora_name: name, lora_path: source } = parsed.data;
    if (path === UNLOAD_PATH) {
      if (!this.loaded.delete(name))
        return refuse(response, 404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
      return void response.writeHead(200).end(`Success: LoRA adapter '${name}' removed successfully.`);
    }
    if (source === undefined)
      return refuse(response, 400, 'BadRequestError', "Both 'lora_name' and 'lora_path' must be provided.");
    if (this.loaded.has(name)) {
      return refuse(response, 400, 'InvalidUserInput', `The lora adapter '${name}' has already been loaded.`);
    }
    if (this.loaded.size >= ADAPTERS_MAX) return refuse(response, 400, 'InvalidUserInput', 'No more adapters fit.');
    this.loaded.set(name, source);
    response.writeHead(200).end(`Success: LoRA adapter '${name}' added successfully.`);
  }
}

function refuse(response: ServerResponse, status: number, type: string, message: string): void {
  const body = JSON.stringify({ error: { message, type, param: null, code: status } });
  response.writeHead(status, { 'content-type': 'application/json' }).end(body);
}

function parseJson(body: Buffer | null): unknown {
  try {
    return JSON.parse(body?.toString('utf8') ?? '');
  } catch {
    return undefined;
  }
}
