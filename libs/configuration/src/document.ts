// The YAML file as plain values plus the line of every key.
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type YAMLParseError } from 'yaml';
import type { ConfigurationProblem } from './errors.ts';

export interface ConfigurationDocument {
  /** Sections and leaves as plain values; empty when there is no file or nothing in it. */
  readonly values: Record<string, unknown>;
  readonly problems: readonly ConfigurationProblem[];
  /** `gateway.yaml:12` of the key at a path, or of its nearest parent in the file; undefined when there is no file. */
  locate(path: readonly PropertyKey[]): string | undefined;
}

/** A fresh one each time: its values are filled in while loading. */
export function emptyDocument(): ConfigurationDocument {
  return { values: {}, problems: [], locate: () => undefined };
}

/** Messages never quote the file's text: a line may hold a secret that does not belong there. */
export function readDocument(file: string, text: string): ConfigurationDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    logLevel: 'silent',
  });
  const lineAt = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const problems = syntaxProblems(document.errors, file, lineAt);
  if (problems.length > 0) return { values: {}, problems, locate: () => undefined };
  if (document.contents !== null && !isMap(document.contents) && !isEmptyScalar(document.contents)) {
    const problem = {
      key: file,
      where: `${file}:1`,
      came: 'no mapping at the top',
      right: 'keys with values, such as "log:"',
    };
    return { values: {}, problems: [problem], locate: () => undefined };
  }
  const values = toValues(document);
  if (values === undefined) {
    const problem = { key: file, where: file, came: 'aliases that expand too far', right: 'a file with fewer aliases' };
    return { values: {}, problems: [problem], locate: () => undefined };
  }
  return { values, problems: [], locate: (path) => locate(document.contents, path, file, lineAt) };
}

/** One fault in the syntax makes the parser stumble over what follows: of those only the first is told. */
function syntaxProblems(
  errors: readonly YAMLParseError[],
  file: string,
  lineAt: (offset: number) => string,
): ConfigurationProblem[] {
  const first = errors.find((error) => error.code !== 'DUPLICATE_KEY');
  if (first) {
    const right = 'one valid YAML document: look at the indentation, quotes and colons near this line';
    return [{ key: file, where: lineAt(first.pos[0]), came: withoutQuotedText(first.message), right }];
  }
  return errors.map((error) => ({
    key: file,
    where: lineAt(error.pos[0]),
    came: 'a key that the same section already has above',
    right: 'every key once',
  }));
}

function toValues(document: ReturnType<typeof parseDocument>): Record<string, unknown> | undefined {
  try {
    return (document.toJS({ maxAliasCount: 100 }) ?? {}) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function isEmptyScalar(node: unknown): boolean {
  return isScalar(node) && node.value === null;
}

function withoutQuotedText(message: string): string {
  return message.replace(/: .*$/s, '').replace(/(["'`]).*\1/s, '…');
}

function locate(root: unknown, path: readonly PropertyKey[], file: string, lineAt: (offset: number) => string): string {
  let found = file;
  let node: unknown = root;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (!pair) return found;
      if (isNode(pair.key) && pair.key.range) found = lineAt(pair.key.range[0]);
      node = pair.value;
    } else {
      const items = isNode(node) && 'items' in node && Array.isArray(node.items) ? node.items : [];
      node = items[Number(step)];
      if (!isNode(node)) return found;
      if (node.range) found = lineAt(node.range[0]);
    }
  }
  return found;
}
