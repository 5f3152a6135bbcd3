// Builds the TypeScript sources into .cache/dist, mirroring their folders: what changed is compiled, what was deleted is
// removed, and nothing is done (in some tens of milliseconds) when nothing changed. Types are stripped, not checked:
// that is `./atoll lint`. Run by ./atoll; `node deploy/launcher/build.mjs` works by itself too.
//
// Every file is compiled before the first one is written, and written by a rename, so that an error or a cut leaves
// the last good build in place.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const roots = ['apps', 'libs', 'migrations', 'deploy', 'test'];
const skippedFolders = new Set(['node_modules', 'fixtures']);
const skippedPaths = ['test/integration', 'test/e2e', 'test/simulation'];

/** Relative path (of `root`, with `/`) → `mtime:size` of each source to build; specs are not built. */
export function findSources(root) {
  const found = {};
  const visit = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!skippedFolders.has(entry.name) && !skippedPaths.includes(path)) visit(path);
      } else if (/(?<!\.d)(?<!\.spec)\.ts$/.test(entry.name)) {
        const { mtimeMs, size } = statSync(join(root, path));
        found[path] = `${mtimeMs}:${size}`;
      }
    }
  };
  for (const folder of roots) if (exists(join(root, folder))) visit(folder);
  return found;
}

/** What to compile and which outputs to remove, given the last build's sources; a changed builder compiles everything. */
export function planBuild(previous, builder, sources, outputExists) {
  const known = previous?.builder === builder ? previous.sources : {};
  return {
    compile: Object.keys(sources).filter((path) => known[path] !== sources[path] || !outputExists(path)),
    remove: Object.keys(previous?.sources ?? {}).filter((path) => sources[path] === undefined),
  };
}

/** Builds the checkout at `root`. Returns how many files were compiled and removed; throws on a syntax error. */
export async function build(root) {
  const destination = join(root, '.cache/dist');
  const manifestPath = join(destination, 'build.json');
  const outputOf = (path) => join(destination, path.replace(/\.ts$/, '.js'));
  const previous = readManifest(manifestPath);
  const builder = hashOf([fileURLToPath(import.meta.url), join(root, '.swcrc'), join(root, 'package-lock.json')]);
  const sources = findSources(root);
  const plan = planBuild(previous, builder, sources, (path) => exists(outputOf(path)));
  if (plan.compile.length === 0 && plan.remove.length === 0) return { compiled: 0, removed: 0 };

  const compiled = plan.compile.length === 0 ? [] : await compileAll(root, plan.compile, outputOf);
  for (const { output, code, map } of compiled) {
    mkdirSync(dirname(output), { recursive: true });
    replaceFile(`${output}.map`, map);
    replaceFile(output, code);
  }
  for (const path of plan.remove) {
    rmSync(outputOf(path), { force: true });
    rmSync(`${outputOf(path)}.map`, { force: true });
  }
  mkdirSync(destination, { recursive: true });
  replaceFile(manifestPath, JSON.stringify({ builder, sources }));
  return { compiled: compiled.length, removed: plan.remove.length };
}

async function compileAll(root, paths, outputOf) {
  const { transform } = await import('@swc/core');
  const options = JSON.parse(readFileSync(join(root, '.swcrc'), 'utf8'));
  options.jsc.rewriteRelativeImportExtensions = true;
  const errors = [];
  const compiled = await Promise.all(
    paths.map(async (path) => {
      const output = outputOf(path);
      const filename = join(root, path);
      try {
        const result = await transform(readFileSync(filename, 'utf8'), {
          ...options,
          swcrc: false,
          filename,
          sourceFileName: relative(dirname(output), filename),
          sourceMaps: true,
        });
        const name = output.slice(output.lastIndexOf('/') + 1);
        return { output, code: `${result.code}\n//# sourceMappingURL=${name}.map\n`, map: result.map };
      } catch (cause) {
        errors.push(`${path}:\n${cause.message}`);
      }
    }),
  );
  if (errors.length > 0) throw new Error(errors.join('\n\n'));
  return compiled;
}

function readManifest(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // never built, or cut while the first build was written: everything is compiled
  }
}

function replaceFile(path, content) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

function hashOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(readFileSync(path)).update('\0');
  return hash.digest('hex');
}

function exists(path) {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = resolve(import.meta.dirname, '../..');
  try {
    const { compiled, removed } = await build(root);
    if (compiled + removed > 0) console.log(`${compiled} files compiled, ${removed} removed`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
