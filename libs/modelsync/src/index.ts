export {
  type ApplyOptions,
  type ApplyProgress,
  type ApplyReport,
  applyDiff,
  decodeBlockOf,
  decodeSnapshot,
} from './apply.ts';
export { type ByteSink, type ByteSource, MemorySink, memorySource, readExactly } from './bytes.ts';
export type { BlockCodec, CodecName } from './codecs/codec.ts';
export { codecs } from './codecs/table.ts';
export type { BlockEntry, PieceEntry } from './container/entries.ts';
export { type Container, openContainer } from './container/open.ts';
export type { CodecCounts } from './container/writer.ts';
export { digestOf } from './digest.ts';
export { type ElementType, type ElementTypeName, elementType, elementTypes } from './elements.ts';
export { codecProfiles, type EncodeOptions, type EncodeReport, encodeDiff, encodeSnapshot } from './encode.ts';
export * from './errors.ts';
export type { FormatName, Layout, Piece } from './formats/layout.ts';
export { buildManifest, type FileManifest, type ManifestPiece } from './formats/manifest.ts';
export { readLayout, recognise } from './formats/recognise.ts';
export {
  type NoSyncPlan,
  planSync,
  type SyncArtifact,
  type SyncOffer,
  type SyncPath,
  type SyncPlan,
  type SyncQuestion,
  type SyncStep,
} from './planner/plan-sync.ts';
export { WorkerPool } from './workers/pool.ts';
export { type BlockRunner, inlineRunner } from './workers/runner.ts';
