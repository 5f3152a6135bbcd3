/**
 * What the simulated model says: first who it is, so that another model, version or adapter can be seen in the text, then
 * words. The same model, seed and prompt give the same text. Pure.
 */
import { streamOf, unitOf } from './random.ts';
import { tokensOf } from './tokens.ts';

export interface Speaker {
  readonly model: string;
  readonly modelVersion: string;
  readonly adapter: string | null;
}

const VERSION_CHARACTERS = 12;
const WORDS = (
  'a river runs under the old bridge and nobody asks where it goes while lanterns move along the far bank in slow ' +
  'patient lines that bend with every breath of wind over water stone grass and the quiet houses of the evening'
).split(' ');

/** Tokens of an answer of at most `tokensMax`; `isWhole`: it ended by itself. */
export function makeText(
  speaker: Speaker,
  prompt: string,
  {
    seed,
    tokensMax,
    tokensWanted,
  }: { readonly seed: number; readonly tokensMax: number; readonly tokensWanted: number },
): { readonly tokens: readonly string[]; readonly isWhole: boolean } {
  const { model, modelVersion, adapter } = speaker;
  const who = `${model}${adapter === null ? '' : ` with ${adapter}`}, version ${modelVersion.slice(0, VERSION_CHARACTERS)}:`;
  const source = `${who} ${seed} ${prompt}`;
  const opening = tokensOf(who);
  const length =
    opening.length + 4 + Math.floor(unitOf(`length ${source}`) * Math.max(1, tokensWanted - opening.length - 4));
  const draw = streamOf(source);
  const tokens = [...opening];
  while (tokens.length < Math.min(length, tokensMax)) tokens.push(` ${WORDS[Math.floor(draw() * WORDS.length)]}`);
  return { tokens: tokens.slice(0, tokensMax), isWhole: tokensMax >= length };
}
