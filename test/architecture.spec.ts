/**
 * The law of the house, executable: who may import whom, what may not be called where, how long things may be.
 *
 * One pass reads and parses every source file; each rule is a pure function from what was read to a list of sentences,
 * and passes when the list is empty. A rule that should change is changed here, with the reason in the commit.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '..');
const NOT_OURS = new Set(['.git', '.cache', '.atoll', 'node_modules', 'fixtures']);
const TEXT = /(^|\/)(atoll|run|[^/]+\.(ts|tsx|js|mjs|cjs|json|ya?ml|md|sh|sql|txt|conf|service))$/;
const CODE = /\.(ts|tsx)$/;

/** Lib → libs that its sources may import. Specs may import `testing` as well. */
const LIB_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  scheduling: ['domain'],
  routing: ['domain'],
  modelsync: ['domain'],
  replay: ['domain', 'scheduling', 'routing'],
  files: [],
  inference: ['domain', 'routing', 'files'],
  contracts: ['domain'],
  store: ['domain', 'contracts'],
  messaging: ['domain', 'contracts', 'files'],
  telemetry: ['domain', 'contracts'],
  configuration: ['domain', 'contracts'],
  embedded: ['domain', 'contracts'],
};
/** Pure lib → packages and `node:` modules that it may import. */
const PURE_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  scheduling: [],
  routing: [],
  modelsync: ['node:zlib', 'node:crypto', 'node:worker_threads'],
  replay: [],
};
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
const LONG_FUNCTIONS_SHARE_MAX = 0.02;
const FUNCTION_LINES_MEDIAN_MAX = 12;
const FOLDERS_BANNED = new Set(['utils', 'util', 'common', 'shared', 'helpers', 'helper', 'misc']);
const IDS: Readonly<Record<string, number>> = { R: 22, S: 12, U: 7 };

interface Call {
  readonly name: string;
  readonly node: ts.CallExpression | ts.NewExpression;
}

interface Source {
  /** From the root, with forward slashes. */
  readonly path: string;
  /** `apps/x`, `libs/x`, or the first folder. */
  readonly owner: string;
  readonly isTest: boolean;
  readonly text: string;
  readonly tree: ts.SourceFile;
  readonly imports: readonly string[];
  readonly calls: readonly Call[];
  readonly properties: ReadonlySet<string>;
  readonly literals: readonly string[];
  readonly functionLines: readonly { readonly name: string; readonly lines: number }[];
}

const paths = walk('');
const texts = new Map(
  paths.filter((path) => TEXT.test(path)).map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
);
const sources = [...texts].filter(([path]) => CODE.test(path)).map(([path, text]) => readSource(path, text));
const production = sources.filter(({ isTest }) => !isTest);

function walk(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (NOT_OURS.has(entry.name)) return [];
    return entry.isDirectory() ? walk(path) : entry.isFile() ? [path] : [];
  });
}

function readSource(path: string, text: string): Source {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const parts = path.split('/');
  const owner = ['apps', 'libs'].includes(parts[0]!) ? `${parts[0]}/${parts[1]}` : parts[0]!;
  const isTest = /\.(spec|fixture|builders)\.ts$/.test(path) || parts.includes('test') || owner === 'libs/testing';
  const imports: string[] = [];
  const calls: Call[] = [];
  const properties = new Set<string>();
  const literals: string[] = [];
  const functionLines: { name: string; lines: number }[] = [];
  const visit = (node: ts.Node): void => {
    const from = importedBy(node);
    if (from !== undefined) imports.push(from);
    else if (ts.isStringLiteralLike(node)) literals.push(node.text);
    else if (ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) literals.push(node.text);
    else if (ts.isPropertyAccessExpression(node)) properties.add(node.getText(tree));
    if (ts.isCallExpression(node) || ts.isNewExpression(node))
      calls.push({ name: node.expression.getText(tree), node });
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      functionLines.push({ name: nameOf(node, tree), lines: linesOf(node, tree) });
    }
    ts.forEachChild(node, from !== undefined && !ts.isCallExpression(node) ? () => undefined : visit);
  };
  visit(tree);
  return { path, owner, isTest, text, tree, imports, calls, properties, literals, functionLines };
}

function importedBy(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
    return node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)
      ? node.moduleSpecifier.text
      : undefined;
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return node.argument.literal.text;
  }
  const isDynamic = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
  const [argument] = isDynamic ? node.arguments : [];
  return argument !== undefined && ts.isStringLiteralLike(argument) ? argument.text : undefined;
}

function nameOf(node: ts.SignatureDeclaration, tree: ts.SourceFile): string {
  if (node.name !== undefined) return node.name.getText(tree);
  const { parent } = node;
  return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) ? parent.name.getText(tree) : 'anonymous';
}

function linesOf(node: ts.Node, tree: ts.SourceFile): number {
  const line = (position: number) => tree.getLineAndCharacterOfPosition(position).line;
  return line(node.getEnd()) - line(node.getStart(tree)) + 1;
}

/** `apps/x` or `libs/x` that a relative import ends in; null when it leads to none. */
function relativeOwner(path: string, from: string): string | null {
  const [kind, name] = normalize(join(dirname(path), from))
    .replaceAll('\\', '/')
    .split('/');
  return kind === 'apps' || kind === 'libs' ? `${kind}/${name}` : null;
}

const isPure = ({ owner, isTest }: Source) => owner.slice(5) in PURE_IMPORTS && owner.startsWith('libs/') && !isTest;

function uncalled(from: readonly Source[], isBanned: (call: Call, source: Source) => boolean): string[] {
  return from.flatMap((source) =>
    source.calls
      .filter((call) => isBanned(call, source))
      .map(({ name, node }) => {
        const { line } = source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree));
        return `${source.path}:${line + 1} ${name}()`;
      }),
  );
}

describe('who may import whom', () => {
  it('a lib imports only the libs that it may; tests may also import #testing', () => {
    const wrong = sources.flatMap(({ path, owner, imports, isTest }) => {
      if (!owner.startsWith('libs/') || owner === 'libs/testing') return [];
      const allowed = LIB_IMPORTS[owner.slice(5)];
      if (allowed === undefined) return [`${path}: give ${owner} a row in LIB_IMPORTS`];
      return imports
        .filter((from) => from.startsWith('#') && !allowed.includes(from.slice(1)))
        .filter((from) => !(isTest && from === '#testing') && from !== `#${owner.slice(5)}`)
        .map((from) => `${path} imports ${from}`);
    });
    expect([...new Set(wrong)]).toEqual([]);
  });

  it('an app imports no other app, and #testing only in tests', () => {
    const wrong = sources.flatMap(({ path, owner, imports, isTest }) =>
      imports
        .filter((from) => {
          if (!owner.startsWith('apps/')) return from === '#testing' && !isTest;
          const other = from.startsWith('.') ? relativeOwner(path, from) : null;
          return (other?.startsWith('apps/') === true && other !== owner) || (from === '#testing' && !isTest);
        })
        .map((from) => `${path} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  it('a lib is imported by its name, never by a path into it', () => {
    // Jest runs its set-up files outside the module map, where `#testing` would be the compiled one.
    // That the schema is what the entities say needs the entities, which the store shows to nobody else.
    const excepted = /\.(setup|teardown)\.ts$|^test\/integration\/store-schema\.spec\.ts$/;
    const mapped = sources.filter(({ path }) => !excepted.test(path));
    const wrong = mapped.flatMap(({ path, owner, imports }) =>
      imports
        .filter((from) => {
          if (!from.startsWith('.')) return /^#[^/]+\//.test(from);
          const other = relativeOwner(path, from);
          return other?.startsWith('libs/') === true && other !== owner;
        })
        .map((from) => `${path} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  it('a lib has one public face and no barrel inside', () => {
    const wrong = production
      .filter(({ owner, path, tree }) => {
        if (!owner.startsWith('libs/') || path === `${owner}/src/index.ts`) return false;
        const isBarrel =
          tree.statements.length > 1 &&
          tree.statements.every((each) => ts.isExportDeclaration(each) && each.moduleSpecifier);
        return path.endsWith('/index.ts') || isBarrel;
      })
      .map(({ path }) => path);
    expect(wrong).toEqual([]);
  });

  it('pure libs import nothing from outside', () => {
    const wrong = sources
      .filter(isPure)
      .flatMap(({ path, owner, imports }) =>
        imports
          .filter(
            (from) => !from.startsWith('.') && !from.startsWith('#') && !PURE_IMPORTS[owner.slice(5)]!.includes(from),
          )
          .map((from) => `${path} imports ${from}`),
      );
    expect(wrong).toEqual([]);
  });
});

describe('what may not be called', () => {
  it('pure libs have no clock, no randomness, no environment, no timers', () => {
    const called = uncalled(sources.filter(isPure), ({ name, node }) => {
      if (name === 'Date') return ts.isCallExpression(node) || (node.arguments ?? []).length === 0;
      return /^(Date\.now|performance\.now|Math\.random|process\.hrtime.*|crypto\.\w+|setTimeout|setInterval|setImmediate|queueMicrotask|fetch)$/.test(
        name,
      );
    });
    const read = sources.filter((source) => isPure(source) && source.properties.has('process.env'));
    expect([...called, ...read.map(({ path }) => `${path} process.env`)]).toEqual([]);
  });

  it('what the leader decides by time it decides by the clock of its term, not by the machine’s (ADR 25)', () => {
    const leading = production.filter(({ path }) => /^apps\/control-plane\/src\/(jobs|leader|rollouts)\//.test(path));
    const called = uncalled(leading, ({ name, node }) => {
      if (name === 'Date') return ts.isCallExpression(node) || (node.arguments ?? []).length === 0;
      return name === 'Date.now';
    });
    const read = leading.filter(({ properties }) => properties.has('Date.now'));
    expect([...called, ...read.map(({ path }) => `${path} Date.now`)]).toEqual([]);
  });

  it('no forwardRef, no module mocks, no forced exit, no request scope, no save()', () => {
    const called = uncalled(sources, ({ name }) =>
      /^(forwardRef|jest\.(unstable_)?(mock|mockModule|doMock))$|\.save$/.test(name),
    );
    const forced = [...texts].filter(
      ([path, text]) => /^(jest\.|\.ci\/|atoll$|package\.json$)/.test(path) && /force[E]xit/.test(text),
    );
    const scoped = sources.filter(({ properties }) => properties.has('Scope.REQUEST'));
    expect([...called, ...forced.map(([path]) => path), ...scoped.map(({ path }) => path)]).toEqual([]);
  });

  it('specs await conditions and never sleep', () => {
    const specs = sources.filter(({ path }) => path.endsWith('.spec.ts'));
    const sleeps = uncalled(specs, ({ name, node }, { imports }) => {
      const isAwaited = ts.isAwaitExpression(node.parent);
      if (isAwaited && imports.includes('node:timers/promises')) return /^(delay|sleep|wait|setTimeout)$/.test(name);
      const callback = name === 'setTimeout' ? node.arguments?.[0] : undefined;
      return callback !== undefined && ts.isIdentifier(callback) && /^(resolve|done|ok)$/.test(callback.text);
    });
    expect(sleeps).toEqual([]);
  });

  it('only configuration, the mains, the launcher, embedded servers and the tests of processes read the environment', () => {
    const allowed =
      /^(libs\/(configuration|embedded|testing)\/|apps\/[^/]+\/src\/main\.ts$|deploy\/|test\/e2e\/|test\/integration\/engine\.spec\.ts|test\/simulation\/seeds\.ts)|\.setup\.ts$/;
    const read = sources.filter(({ path, properties }) => {
      const reads = [...properties].some((property) => /^process\.env\b/.test(property));
      return reads && !allowed.test(path);
    });
    expect(read.map(({ path }) => path)).toEqual([]);
  });

  it('NATS subjects are written down in one place', () => {
    const allowed = new Set(['libs/contracts/src/subjects.ts', 'libs/messaging/src/permissions.ts']);
    const wrong = production.flatMap(({ path, literals }) =>
      allowed.has(path) ? [] : literals.filter((text) => text.includes('atoll.v1')).map((text) => `${path}: ${text}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('shape', () => {
  it('no folder is named for nothing', () => {
    expect(
      paths.filter((path) =>
        dirname(path)
          .split('/')
          .some((name) => FOLDERS_BANNED.has(name)),
      ),
    ).toEqual([]);
  });

  it(`files over ${FILE_LINES_MAX} lines defend it in their header`, () => {
    const long = sources.filter(({ text }) => text.split('\n').length - 1 > FILE_LINES_MAX);
    const undefended = long.filter(
      ({ text }) => !/^(\s*(\/\/|\/?\*).*\b(lines|long|one file)\b)/im.test(text.slice(0, 1_500)),
    );
    expect(undefended.map(({ path }) => path)).toEqual([]);
  });

  it(`functions: median ≤ ${FUNCTION_LINES_MEDIAN_MAX} lines, at most 2 % over ${FUNCTION_LINES_MAX}`, () => {
    const all = production.flatMap(({ path, functionLines }) => functionLines.map((each) => ({ path, ...each })));
    const named = all.filter(({ name, lines }) => name !== 'anonymous' || lines > FUNCTION_LINES_MAX);
    const sorted = named.map(({ lines }) => lines).sort((left, right) => left - right);
    const long = named.filter(({ lines }) => lines > FUNCTION_LINES_MAX);
    const words = long.map(({ path, name, lines }) => `${path} ${name}: ${lines}`);
    const isTooMany = long.length / named.length > LONG_FUNCTIONS_SHARE_MAX;
    expect(isTooMany ? words : []).toEqual([]);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThanOrEqual(FUNCTION_LINES_MEDIAN_MAX);
  });
});

describe('what is written', () => {
  it('nothing is left for later', () => {
    const marks = new RegExp(`\\b(${['TO', 'DO|FIX', 'ME|X', 'XX'].join('')})\\b`);
    expect([...texts].filter(([, text]) => marks.test(text)).map(([path]) => path)).toEqual([]);
  });

  it('no registry host and no path of somebody’s machine', () => {
    const host =
      /\b(registry\.(npmjs|yarnpkg|npmmirror)\.\w+|npm\.pkg\.github\.com|[\w.-]*(artifactory|jfrog|verdaccio|nexus)[\w-]*\.[\w.-]+\/)|_auth[T]oken|"resolve[d]": "http/;
    const machine = /(^|[\s"'`(=:])\/(root|work|Users\/\w+|home\/(?!atoll\b|node\b)\w+)\/[\w.]/m;
    const wrong = [...texts].filter(([, text]) => host.test(text) || machine.test(text));
    expect(wrong.map(([path, text]) => `${path}: ${(host.exec(text) ?? machine.exec(text))![0].trim()}`)).toEqual([]);
  });

  it('tests name only promises that exist', () => {
    const wrong = sources
      .filter(({ isTest }) => isTest)
      .flatMap(({ path, calls }) =>
        calls
          .filter(({ name }) => /^(it|test|describe)(\.\w+)*$/.test(name))
          .flatMap(({ node }) => titleIds(node))
          .filter((id) => Number(id.slice(1)) < 1 || Number(id.slice(1)) > IDS[id[0]!]!)
          .map((id) => `${path}: ${id}`),
      );
    expect(wrong).toEqual([]);
  });
});

function titleIds(node: ts.CallExpression | ts.NewExpression): string[] {
  const title = node.arguments?.[0];
  return title !== undefined && ts.isStringLiteralLike(title) ? (title.text.match(/\b[RSU]\d+\b/g) ?? []) : [];
}
