/**
 * The work on one block, as plain functions of plain messages, so that it runs here or in a worker thread alike.
 */
import { crc32 } from 'node:zlib';
import { elementTypes } from '../elements.ts';
import { CorruptDiffError } from '../errors.ts';
import { fitPrediction } from '../kernels/fit.ts';
import type { Block, CodecName } from './codec.ts';
import { codecOfCode, codecOfName, codecs } from './table.ts';

/** A {@link Block} as a message: types and codecs by their codes. */
export interface BlockMessage {
  readonly typeCode: number;
  readonly base: Uint8Array;
  readonly surroundings: Uint8Array;
  readonly model: Uint8Array;
  readonly firstElement: number;
}

export interface EncodeWork extends BlockMessage {
  readonly next: Uint8Array;
  /** What may be used; `same` and `raw` always may. The smallest wins. */
  readonly allowed: readonly CodecName[];
  /** zstd's level. */
  readonly level: number;
}

export interface EncodedBlock {
  readonly codecCode: number;
  readonly payload: Uint8Array;
  readonly crc: number;
}

export interface DecodeWork extends BlockMessage {
  readonly codecCode: number;
  readonly payload: Uint8Array;
  readonly bytes: number;
  readonly crc: number;
}

/** A base that predicts well leaves less than this share; only then is coding without the base not tried. */
const SNAPSHOT_TRIED_ABOVE = 0.6;

/** A matrix whose update is to be modelled. */
export interface FitWork {
  readonly typeCode: number;
  readonly base: Uint8Array;
  readonly next: Uint8Array;
  readonly rows: number;
  readonly columns: number;
}

const RANK_MAX = 32;
/** Any number does; a fixed one makes the same diff of the same files. */
const FIT_SEED = 1;

/** The serialised model of `next − base`; empty where none pays. */
export function fitModel({ typeCode, base, next, rows, columns }: FitWork): Uint8Array {
  const options = { rankMax: RANK_MAX, seed: FIT_SEED };
  return fitPrediction(base, next, rows, columns, elementTypes[typeCode]!, options)?.bytes ?? new Uint8Array(0);
}

export function encodeBlock(work: EncodeWork): EncodedBlock {
  const block = blockOf(work);
  const { next, level } = work;
  const crc = crc32(next);
  const isTried = (name: CodecName) => work.allowed.includes(name) && codecOfName(name).fits(block);
  let best = { codecCode: codecOfName('raw').code, payload: next, crc };
  for (const codec of codecs) {
    if (codec.name === 'raw' || !codec.fits(block)) continue;
    if (codec.name !== 'same' && !work.allowed.includes(codec.name)) continue;
    if (codec.name === 'grouped' && isTried('coded')) continue; // never smaller, and it would cost its time
    if (codec.name === 'snapshot' && best.payload.length < SNAPSHOT_TRIED_ABOVE * next.length) continue;
    const payload = codec.encode(block, next, level);
    if (payload === null || payload.length >= best.payload.length) continue;
    best = { codecCode: codec.code, payload, crc };
    if (payload.length === 0) break;
  }
  return best;
}

/** Throws CorruptDiffError, UnknownCodecError; never returns bytes that do not match the block's checksum. */
export function decodeBlock(work: DecodeWork): Uint8Array {
  const codec = codecOfCode(work.codecCode);
  const block = blockOf(work);
  if (!codec.fits(block)) throw new CorruptDiffError(`a block is ${codec.name} where that cannot be`);
  const out = new Uint8Array(work.bytes);
  codec.decode(block, work.payload, out);
  if (crc32(out) !== work.crc) throw new CorruptDiffError('a block does not match its checksum');
  return out;
}

function blockOf({ typeCode, base, surroundings, model, firstElement }: BlockMessage): Block {
  return { type: elementTypes[typeCode]!, base, surroundings, model: knownModel(model), firstElement };
}

let lastModel: Uint8Array = new Uint8Array(0);

/**
 * The same object for the same model as the block before: parsed models are kept by identity, which a message between
 * threads does not keep.
 */
function knownModel(model: Uint8Array): Uint8Array {
  if (model !== lastModel && Buffer.compare(model, lastModel) !== 0) lastModel = model;
  return lastModel;
}
