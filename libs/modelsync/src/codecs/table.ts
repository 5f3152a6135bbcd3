import { CorruptDiffError, UnknownCodecError } from '../errors.ts';
import { decodeCoded, encodeCoded, supportsCoded } from '../kernels/coded.ts';
import { readPrediction } from '../kernels/factors.ts';
import { decodePredicted, encodePredicted, supportsPredicted } from '../kernels/predicted.ts';
import type { Block, BlockCodec, CodecName } from './codec.ts';
import { decodeGrouped, encodeGrouped } from './grouped.ts';
import { decodePatched, encodePatched } from './patched.ts';
import { joinPayloads, joinQ8, predictQuants, quantType, scaleType, splitPayload, splitQ8 } from './q8.ts';
import { decodeSnapshotBlock, encodeSnapshotBlock } from './snapshot.ts';

/** Bytes of structure have matches to find, and are few. */
const OPAQUE_LEVEL_MIN = 3;

const isNumeric = ({ type, base }: Block) => type.kind !== 'opaque' && base.length > 0;

const same: BlockCodec = {
  code: 0,
  name: 'same',
  meaning: 'the base has these very bytes; nothing is stored',
  fits: ({ base }) => base.length > 0,
  encode: ({ base }, next) => (Buffer.compare(base, next) === 0 ? new Uint8Array(0) : null),
  decode: ({ base }, payload, out) => {
    if (payload.length > 0) throw new CorruptDiffError('a block that is the same has a payload');
    out.set(base);
  },
};

const raw: BlockCodec = {
  code: 1,
  name: 'raw',
  meaning: 'the bytes as they are',
  fits: () => true,
  encode: (_block, next) => next,
  decode: (_block, payload, out) => {
    if (payload.length !== out.length) throw new CorruptDiffError('a raw block has the wrong length');
    out.set(payload);
  },
};

const patched: BlockCodec = {
  code: 2,
  name: 'patched',
  meaning: 'bytes without structure, zstd with the base as dictionary',
  fits: ({ surroundings }) => surroundings.length > 0,
  encode: ({ surroundings }, next, level) => encodePatched(surroundings, next, Math.max(level, OPAQUE_LEVEL_MIN)),
  decode: ({ surroundings }, payload, out) => decodePatched(surroundings, payload, out),
};

const grouped: BlockCodec = {
  code: 3,
  name: 'grouped',
  meaning: 'differences in order of value, sorted by the base exponent, byte planes in zstd: fast',
  fits: isNumeric,
  encode: ({ type, base }, next, level) => {
    if (type.kind !== 'q8_0') return encodeGrouped(type, base, next, level);
    const from = splitQ8(base);
    const to = splitQ8(next);
    return joinPayloads(
      encodeGrouped(scaleType, from.scales, to.scales, level),
      encodeGrouped(quantType, predictQuants(from, to.scales), to.quants, level),
    );
  },
  decode: ({ type, base }, payload, out) => {
    if (type.kind !== 'q8_0') return decodeGrouped(type, base, payload, out);
    const from = splitQ8(base);
    const to = { scales: new Uint8Array(from.scales.length), quants: new Uint8Array(from.quants.length) };
    const [scales, quants] = splitPayload(payload);
    decodeGrouped(scaleType, from.scales, scales, to.scales);
    decodeGrouped(quantType, predictQuants(from, to.scales), quants, to.quants);
    joinQ8(to, out);
  },
};

const coded: BlockCodec = {
  code: 4,
  name: 'coded',
  meaning: 'differences in an entropy code chosen by the base exponent: smaller',
  fits: (block) => isNumeric(block) && supportsCoded(block.type),
  encode: ({ type, base }, next) => encodeCoded(base, next, type),
  decode: ({ type, base }, payload, out) => decodeCoded(base, payload, type, out),
};

const predicted: BlockCodec = {
  code: 5,
  name: 'predicted',
  meaning: 'differences from a low-rank prediction of the update, in the same code: smallest where it pays',
  fits: (block) => block.model.length > 0 && isNumeric(block) && supportsPredicted(block.type),
  encode: ({ type, base, model, firstElement }, next) =>
    encodePredicted(base, next, type, readPrediction(model), firstElement),
  decode: ({ type, base, model, firstElement }, payload, out) =>
    decodePredicted(base, payload, type, readPrediction(model), firstElement, out),
};

const snapshot: BlockCodec = {
  code: 6,
  name: 'snapshot',
  meaning: 'no base: exponent and mantissa planes apart, in zstd',
  fits: () => true,
  encode: ({ type }, next, level) => {
    if (type.kind === 'opaque') return encodeSnapshotBlock(type, next, Math.max(level, OPAQUE_LEVEL_MIN));
    if (type.kind !== 'q8_0') return encodeSnapshotBlock(type, next, level);
    const { scales, quants } = splitQ8(next);
    return joinPayloads(encodeSnapshotBlock(scaleType, scales, level), encodeSnapshotBlock(quantType, quants, level));
  },
  decode: ({ type }, payload, out) => {
    if (type.kind !== 'q8_0') return decodeSnapshotBlock(type, payload, out);
    const blocks = out.length / type.bytes;
    const to = { scales: new Uint8Array(2 * blocks), quants: new Uint8Array(32 * blocks) };
    const [scales, quants] = splitPayload(payload);
    decodeSnapshotBlock(scaleType, scales, to.scales);
    decodeSnapshotBlock(quantType, quants, to.quants);
    joinQ8(to, out);
  },
};

/** Every codec, in the order in which they are tried; the codes are part of the container format: add rows, never renumber. */
export const codecs: readonly BlockCodec[] = [same, raw, patched, predicted, coded, grouped, snapshot];

const byCode = new Map(codecs.map((codec) => [codec.code, codec]));
const byName = new Map(codecs.map((codec) => [codec.name, codec]));

/** Throws UnknownCodecError. */
export function codecOfCode(code: number): BlockCodec {
  const codec = byCode.get(code);
  if (codec === undefined) throw new UnknownCodecError('codec', code);
  return codec;
}

export function codecOfName(name: CodecName): BlockCodec {
  return byName.get(name)!;
}
