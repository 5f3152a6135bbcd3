// Completes package-lock.json after a change of dependencies; run by `npm run lock`.
//
// npm leaves an optional package out of the lock when the registry in use does not have it (mirrors often lack other
// platforms' binaries), and `npm ci` then refuses the lock as incomplete. This adds what is missing with its pinned
// version and the platform that its name tells, so that npm passes it over here and installs it where it belongs.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const systems = {
  android: 'android',
  darwin: 'darwin',
  freebsd: 'freebsd',
  linux: 'linux',
  openharmony: 'openharmony',
  win32: 'win32',
};
const processors = {
  arm64: 'arm64',
  arm: 'arm',
  x64: 'x64',
  ia32: 'ia32',
  ppc64: 'ppc64',
  s390x: 's390x',
  loong64: 'loong64',
  riscv64: 'riscv64',
};
const libraries = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

/** `os`, `cpu` and `libc` of a package that is named like `@scope/name-linux-x64-gnu`; undefined when it is not. */
export function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const find = (table) => words.map((word) => table[word]).find((value) => value !== undefined);
  const [os, cpu, libc] = [find(systems), find(processors), find(libraries)];
  if (os === undefined || cpu === undefined) return undefined;
  return { os: [os], cpu: [cpu], ...(os === 'linux' && libc !== undefined ? { libc: [libc] } : {}) };
}

/** A copy of the lock with each missing optional package added. Throws when it cannot say what a missing one is. */
export function completeLock(lock) {
  const packages = { ...lock.packages };
  const missing = [];
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (isInstalledFor(lock.packages, path, name)) continue;
      const platform = platformOf(name);
      if (platform === undefined || !/^\d+\.\d+\.\d+/.test(version)) missing.push(`${name}@${version} of ${path}`);
      else
        packages[`node_modules/${name}`] = {
          version,
          ...platform,
          optional: true,
          ...(entry.dev ? { dev: true } : {}),
        };
    }
  }
  if (missing.length > 0) throw new Error(`not in the lock, and of no known platform: ${missing.join(', ')}`);
  const sorted = Object.keys(packages).sort((a, b) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(sorted.map((path) => [path, packages[path]])) };
}

/** Node's own look-up: beside the package that asks, then in each folder above it. */
function isInstalledFor(packages, path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === '') return false;
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const file = new URL('../../package-lock.json', import.meta.url);
  const text = readFileSync(file, 'utf8');
  if (text.includes('"resolved"'))
    throw new Error('package-lock.json names download addresses; .npmrc was not in force');
  writeFileSync(file, `${JSON.stringify(completeLock(JSON.parse(text)), null, 2)}\n`);
}
