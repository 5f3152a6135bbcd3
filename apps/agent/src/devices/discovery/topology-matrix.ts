// The matrix of how devices are connected, as `nvidia-smi topo -m`, `npu-smi info -t topo` and `cnmon topo -m` print it: a
// head of names, a row a device. Pure.
//
// A link domain is a set of devices each of which is linked directly to each other one (DESIGN §2): found greedily in the
// order of the indexes, so that boards of two meshes come out as two domains, though a few links join them.

/** Terminals are told where the words of the head are underlined. */
const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');

/** Index → name of its link domain; of what has no direct link, nothing. `isLink`: whether a cell means one. */
export function parseTopology(
  text: string,
  prefix: 'GPU' | 'NPU' | 'MLU',
  isLink: (cell: string) => boolean,
): ReadonlyMap<string, string> {
  const rows = matrixOf(text.replaceAll(ESCAPES, ''), prefix);
  const isLinked = (left: string, right: string) => isLink(rows.get(left)?.get(right) ?? '');
  const domains: string[][] = [];
  for (const index of rows.keys()) {
    const domain = domains.find((members) => members.every((each) => isLinked(index, each) && isLinked(each, index)));
    if (domain === undefined) domains.push([index]);
    else domain.push(index);
  }
  const linked = domains.filter(({ length }) => length > 1);
  return new Map(linked.flatMap((members) => members.map((index) => [index, `link-${members[0]}`])));
}

/**
 * Row's index → column's index → cell. The head may begin with an empty corner, so a line is the head when what follows its
 * first name is no cell. What is short gives what it gives.
 */
function matrixOf(text: string, prefix: string): Map<string, Map<string, string>> {
  const name = new RegExp(`^${prefix}(\\d{1,3})$`);
  const rows = new Map<string, Map<string, string>>();
  let columns: string[] | undefined;
  for (const words of text.split('\n').map((line) => line.trim().split(/\s+/))) {
    const index = name.exec(words[0] ?? '')?.[1];
    if (index === undefined) continue;
    if (columns === undefined) {
      columns = words.flatMap((word) => name.exec(word)?.[1] ?? []);
      continue;
    }
    const named = columns;
    const cells = words.slice(1, 1 + named.length);
    rows.set(index, new Map(cells.map((cell, at) => [named[at]!, cell])));
  }
  return rows;
}
