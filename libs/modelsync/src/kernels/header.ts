/** What the header of a block's coded tokens is made of; encoder.ts writes it, decoder.ts reads it. */
import { NUMBER_CONTEXTS } from './bits.ts';
import type { Mode } from './clusters.ts';
import { GAP_CONTEXTS } from './gaps.ts';

/** Elements that share an activity class. */
export const CHUNK_ELEMENTS = 256;
/** Activity classes of a block that has them. */
export const CLASSES = 4;

/** Mode of a cluster → two bits, the lower one first. */
export const modes: Readonly<Record<Mode, number>> = { direct: 0, run: 1, dead: 2 };

/** First contexts of the header's parts; gaps.ts and frequencies.ts have those from 0. */
export const headerContext = {
  classed: GAP_CONTEXTS,
  classes: GAP_CONTEXTS + 1,
  mode: GAP_CONTEXTS + 1 + CLASSES * 3,
  clusters: GAP_CONTEXTS + 4 + CLASSES * 3,
  boundary: GAP_CONTEXTS + 4 + CLASSES * 3 + NUMBER_CONTEXTS,
  gap: GAP_CONTEXTS + 4 + CLASSES * 3 + 2 * NUMBER_CONTEXTS,
} as const;
export const HEADER_CONTEXTS = GAP_CONTEXTS + 4 + CLASSES * 3 + 3 * NUMBER_CONTEXTS;
