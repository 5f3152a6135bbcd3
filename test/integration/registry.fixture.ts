/** Publishing whole versions through the API, and what the registry made of them. Specs only. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { type ArtifactFile, Store, type VersionArtifact } from '#domain';
import { applyDiff, type ByteSource, decodeSnapshot, MemorySink } from '#modelsync';
import { eventually } from '#testing';
import { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { type Answer, type Installation, upload } from './admin.fixture.ts';

const TINY_LLM = join(import.meta.dirname, '..', 'fixtures', 'models', 'tiny-llm');
/** Encoding a version of the fixtures takes a second or two on an idle core. */
const MADE_MS = 120_000;

export type Files = Readonly<Record<string, Uint8Array>>;

export async function tinyLlm(version: 'v1' | 'v2'): Promise<Files> {
  const names = ['model.gguf', 'config.json', 'tokenizer_config.json'];
  const contents = await Promise.all(names.map((name) => readFile(join(TINY_LLM, version, name))));
  return Object.fromEntries(names.map((name, index) => [name, contents[index]!]));
}

/** Declares and uploads the files. @returns the version's number, or the answer that refused it */
export async function uploadFiles(
  installation: Installation,
  model: string,
  files: Files,
  wanted: Record<string, unknown> = {},
): Promise<number> {
  const declared = Object.entries(files).map(([path, content]) => ({ path, sizeBytes: content.length }));
  const body = { files: declared, ...wanted };
  const begun = await installation.call('POST', `/api/v1/models/${model}/versions`, { body });
  expect(begun).toMatchObject({ status: 201 });
  for (const [path, content] of Object.entries(files)) {
    expect(await upload(installation, model, begun.body.number, path, content)).toMatchObject({ status: 200 });
  }
  return begun.body.number;
}

export async function publishFiles(
  installation: Installation,
  model: string,
  files: Files,
  wanted: Record<string, unknown> = {},
): Promise<Answer['body']> {
  const number = await uploadFiles(installation, model, files, wanted);
  const published = await installation.call('POST', `/api/v1/models/${model}/versions/${number}/publish`);
  expect(published).toMatchObject({ status: 200 });
  return published.body;
}

export function storeOf({ controlPlane }: Installation): Store {
  return controlPlane.app.get(Store, { strict: false });
}

export function blobsOf({ controlPlane }: Installation): BlobStore {
  return controlPlane.app.get(BlobStore, { strict: false });
}

/** Waits until each artifact of the version is Ready or Failed, and there are as many as wanted. */
export async function madeArtifacts(
  installation: Installation,
  versionId: string,
  count: number,
): Promise<VersionArtifact[]> {
  const { read } = storeOf(installation);
  return eventually(
    async () => {
      const version = await read.versions.find({ id: versionId });
      const artifacts = (await read.artifacts.ofModel(version!.modelId)).filter((each) => each.versionId === versionId);
      const over = artifacts.filter(({ phase }) => phase === 'Ready' || phase === 'Failed');
      expect(over.length).toBeGreaterThanOrEqual(count);
      return over;
    },
    { timeoutMs: MADE_MS },
  );
}

/** The file that an entry makes, made as a cluster makes it: from its blob, and its base's blob. */
export async function resultOf(installation: Installation, entry: ArtifactFile): Promise<Uint8Array> {
  const blobs = blobsOf(installation);
  const encoded = (await blobs.openSource(entry.blobDigest))!;
  const base = entry.baseDigest === null ? null : (await blobs.openSource(entry.baseDigest))!;
  const result = new MemorySink();
  try {
    await decode(entry, encoded, base, result);
    return result.content();
  } finally {
    await encoded.close();
    await base?.close();
  }
}

async function decode(
  { encoding, digest, sizeBytes }: ArtifactFile,
  encoded: ByteSource,
  base: ByteSource | null,
  result: MemorySink,
): Promise<void> {
  const wanted = { digest, bytes: sizeBytes };
  if (encoding === 'diff') await applyDiff(base!, encoded, result, { wanted });
  else if (encoding === 'snapshot') await decodeSnapshot(encoded, result, { wanted });
  else await result.write(0, await encoded.read(0, encoded.size));
}
