// Finds node-llama-cpp in the folder it is installed in apart from the project's own packages, and names the part of
// its surface that the engine uses. (Its own types are not on this project's path, on purpose.)
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EngineExit, exitModulesAbsent } from '#inference';

export interface LlamaSequence {
  readonly nextTokenIndex: number;
  adaptStateToTokens(tokens: readonly number[], allowShift?: boolean): Promise<void>;
  evaluate(
    tokens: readonly number[],
    options: { temperature: number; topP: number; topK: number; minP: number; seed: number },
  ): AsyncGenerator<number, void, void>;
}
export interface LlamaContext {
  readonly contextSize: number;
  getSequence(): LlamaSequence;
}
export interface LlamaModel {
  readonly tokenizer: unknown;
  readonly trainContextSize: number;
  readonly tokens: { readonly bos: number | null; readonly shouldPrependBosToken: boolean };
  tokenize(text: string, specialTokens?: boolean): number[];
  detokenize(tokens: readonly number[], specialTokens?: boolean, lastTokens?: readonly number[]): string;
  createContext(options: {
    contextSize: number;
    sequences: number;
    threads: number;
    batchSize?: number;
  }): Promise<LlamaContext>;
}
export interface Llama {
  loadModel(options: { modelPath: string; gpuLayers: number }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}
export type LlamaChatItem =
  | { readonly type: 'system' | 'user'; readonly text: string }
  | { readonly type: 'model'; readonly response: readonly string[] };
export interface LlamaChatWrapper {
  readonly wrapperName: string;
  generateContextState(options: { chatHistory: readonly LlamaChatItem[] }): {
    contextText: { tokenize(tokenizer: unknown): number[] };
  };
}
export interface LlamaModule {
  getLlama(options: {
    gpu: false;
    build: 'never';
    skipDownload: true;
    progressLogs: false;
    maxThreads: number;
    logLevel: string;
    logger: (level: string, message: string) => void;
  }): Promise<Llama>;
  resolveChatWrapper(model: LlamaModel): LlamaChatWrapper;
}

/** `ATOLL_ENGINE_MODULES`, or `.cache/engine/node_modules` beside the built code (`.cache/dist/apps/engine/src`). */
export function engineModulesFolder(environment: NodeJS.ProcessEnv): string {
  const given = environment.ATOLL_ENGINE_MODULES;
  if (given !== undefined && given !== '') return resolve(given);
  return resolve(import.meta.dirname, '../../../../engine/node_modules');
}

/** Throws `EngineExit` with what to do when it is not there. */
export async function importLlama(modulesFolder: string): Promise<LlamaModule> {
  const entry = join(modulesFolder, 'node-llama-cpp', 'dist', 'index.js');
  if (!existsSync(entry)) {
    throw new EngineExit(
      `node-llama-cpp is not installed in ${modulesFolder}: run ./atoll, which installs it, ` +
        'or "sh apps/engine/install.sh .cache/engine", or point ATOLL_ENGINE_MODULES at its node_modules folder',
      exitModulesAbsent,
    );
  }
  return (await import(pathToFileURL(entry).href)) as LlamaModule;
}
