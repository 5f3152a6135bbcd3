// The module's face; ../instance.ts lays out its memory.
export { apply, lookUpChunks, prepare } from './elements';
export {
  activityDeviations,
  activityTotals,
  assign,
  bitsAddress,
  decodeTokens,
  decoderSettled,
  decoderStart,
  encodeTokens,
  encoderFinish,
  encoderStart,
  expandTable,
  histogram,
  wordsAddress,
} from './coder';
export { joinQuantised, lowRank, predictFloats, predictQuants, residuals, restore, splitQuantised } from './prediction';
export { addOuter, deltas, timesThin } from './fitting';
export { groupCounts, groupGather, groupScatter } from './planes';
