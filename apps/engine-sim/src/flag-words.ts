// Node's own words about a flag that it does not know, and the flag that was meant.

/** The message, with the known flag that shares most of the unknown one's letters from the start. */
export function closestFlag(message: string, known: readonly string[]): string {
  const unknown = /'(--[^' =]+)/.exec(message)?.[1];
  if (unknown === undefined || known.includes(unknown)) return message;
  const shared = (flag: string) => {
    let length = 0;
    while (length < flag.length && flag[length] === unknown[length]) length += 1;
    return length;
  };
  const [best] = [...known].sort((left, right) => shared(right) - shared(left));
  const meant = best !== undefined && shared(best) > 4 ? ` Did you mean ${best}?` : '';
  return `Unknown flag ${unknown}.${meant} --help lists them all.`;
}
