// The launcher's own logic, run as it runs: by the machine's /bin/sh. What it installs is not fetched here.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';

const launcher = import.meta.dirname;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll launcher '));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Runs shell text after the launcher's parts, with $cache in a new folder; gives its exit code and output. */
async function shell(text: string, cache = folder): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', withParts(text, cache)]);
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const failed = error as { code: number; stdout: string; stderr: string };
    return { code: failed.code, output: failed.stdout + failed.stderr };
  }
}

function withParts(text: string, cache: string): string {
  const parts = ['steps', 'versions', 'node', 'packages', 'nats-server'].map((part) => `. '${launcher}/${part}.sh'`);
  return ['set -eu', `cache='${cache}'`, ...parts, text].join('\n');
}

describe('version_at_least', () => {
  const cases: [have: string, want: string, enough: boolean][] = [
    ['2.10.0', '2.10.0', true],
    ['2.9.10', '2.10.0', false],
    ['2.10.27-1', '2.10.0', true],
    ['v24.21.0', '24.0.0', true],
    ['v20.20.2', '24.0.0', false],
    ['10', '9.0.0', true],
    ['3.0', '2.99.99', true],
    ['none', '0.0.1', false],
    ['', '0.0.1', false],
  ];
  it.each(cases)('%s is at least %s: %s', async (have, want, enough) => {
    expect((await shell(`version_at_least '${have}' '${want}'`)).code).toBe(enough ? 0 : 1);
  });
});

describe('stamps', () => {
  it('match until the text or a file changes', async () => {
    const lock = join(folder, 'lock file');
    await writeFile(lock, 'one');
    const text = `file='${lock}'
      check() { stamp_matches '${folder}/stamp' "$(stamp_of "$1" "$file")" && echo same || echo changed; }
      check a; stamp_of a "$file" >'${folder}/stamp'
      check a; check b; echo two >"$file"; check a`;
    expect((await shell(text)).output.split('\n').filter(Boolean)).toEqual(['changed', 'same', 'changed', 'changed']);
  });
});

describe('a step', () => {
  it('that is quick says nothing and keeps its output in a log', async () => {
    expect(await shell('step quick "being quick" echo words')).toEqual({ code: 0, output: '' });
    expect(await readFile(join(folder, 'logs/quick.log'), 'utf8')).toBe('words\n');
  });

  it("that fails shows its log's tail and what to do, and ends the launcher", async () => {
    const { code, output } = await shell(
      'step bad "being bad" sh -c "echo the cause; exit 7" || fail "it failed" "Do this."; echo unreached',
    );
    expect(code).toBe(1);
    expect(output).toMatch(
      /being bad: failed after \d s; .*bad\.log:\n {2}\| the cause\natoll: it failed\n +Do this\.\n$/,
    );
  });
});

describe('the lock', () => {
  let holder: ChildProcess | undefined;
  afterAll(() => {
    holder?.kill('SIGKILL');
  });

  it('is waited for while its holder lives, and taken over when the holder was killed', async () => {
    const cache = await mkdtemp(join(folder, 'cache '));
    holder = spawn('sh', ['-c', withParts('take_lock; echo taken; exec cat', cache)], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    await once(holder.stdout!, 'data');
    const second = spawn('sh', ['-c', withParts('take_lock; release_lock; echo done', cache)]);
    let said = '';
    second.stderr.on('data', (chunk) => {
      said += chunk;
    });
    await eventually(() =>
      expect(said).toBe(`atoll: waiting for the launcher that is setting up this checkout (process ${holder?.pid})\n`),
    );
    expect(second.exitCode).toBeNull();
    holder.kill('SIGKILL');
    expect(await once(second, 'exit')).toEqual([0, null]);
    await expect(readlink(join(cache, 'lock'))).rejects.toThrow('ENOENT');
  });

  it('of a process whose pid now belongs to another is stale', async () => {
    const cache = await mkdtemp(join(folder, 'cache '));
    await symlink(`${process.pid}:1`, join(cache, 'lock'));
    const { output } = await shell('take_lock; readlink "$lock"; process_identity $$', cache);
    const [inLock, ownIdentity] = output.split('\n');
    expect(inLock).toBe(ownIdentity);
  });

  it('is not taken from its holder by the release of another', async () => {
    const cache = await mkdtemp(join(folder, 'cache '));
    await shell('take_lock; rm "$lock"; ln -s 1:1 "$lock"; release_lock', cache);
    expect(await readlink(join(cache, 'lock'))).toBe('1:1');
  });
});

describe('the sources of the next stable suite', () => {
  it('come from both forms of the own, without updates, foreign archives and what is disabled', async () => {
    const apt = join(folder, 'apt');
    await mkdir(join(apt, 'sources.list.d'), { recursive: true });
    await writeFile(
      join(apt, 'sources.list'),
      'deb [arch=amd64] http://mirror/debian bookworm main contrib\n# deb http://off bookworm main\ndeb-src http://mirror/debian bookworm main\ndeb http://mirror/debian bookworm-updates main\ndeb http://other/apt cloud-bookworm main\n',
    );
    await writeFile(
      join(apt, 'sources.list.d/debian.sources'),
      'Types: deb\n# a comment\nURIs: http://deb/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /keys/debian.gpg\n\nTypes: deb\nURIs: http://deb/security\nSuites: bookworm-security\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://disabled\nSuites: bookworm\nComponents: main\n',
    );
    expect((await shell(`nats_apt_sources bookworm trixie '${apt}'`)).output).toBe(
      'deb [arch=amd64] http://mirror/debian trixie main contrib\ndeb [signed-by=/keys/debian.gpg] http://deb/debian trixie main\n',
    );
  });
});

describe('the build', () => {
  it('compiles what changed, removes what was deleted, and keeps the last good build on an error', async () => {
    const root = await mkdtemp(join(folder, 'checkout '));
    await mkdir(join(root, 'libs/a/src'), { recursive: true });
    await writeFile(join(root, 'package-lock.json'), '{}');
    await writeFile(join(root, '.swcrc'), await readFile(join(launcher, '../../.swcrc')));
    const source = (name: string) => join(root, 'libs/a/src', name);
    const output = (name: string) => join(root, '.cache/dist/libs/a/src', name);
    await writeFile(source('one.ts'), "import { two } from './two.ts';\nexport const one: number = two;\n");
    await writeFile(source('two.ts'), 'export const two = 2;\n');
    await writeFile(source('two.spec.ts'), 'throw 1;\n');
    const { build } = (await import(join(launcher, 'build.mjs'))) as {
      build(root: string): Promise<{ compiled: number; removed: number }>;
    };
    expect(await build(root)).toEqual({ compiled: 2, removed: 0 });
    expect(await readFile(output('one.js'), 'utf8')).toContain('from "./two.js"');
    expect(await build(root)).toEqual({ compiled: 0, removed: 0 });

    await writeFile(source('one.ts'), 'export const one = ;\n');
    await rm(source('two.ts'));
    await expect(build(root)).rejects.toThrow('libs/a/src/one.ts');
    expect(await readFile(output('one.js'), 'utf8')).toContain('from "./two.js"');

    await writeFile(source('one.ts'), 'export const one = 1;\n');
    expect(await build(root)).toEqual({ compiled: 1, removed: 1 });
    await expect(stat(output('two.js'))).rejects.toThrow('ENOENT');
  });
});

describe('completing the lock file', () => {
  it("adds other platforms' packages that a mirror lacked, and refuses what it cannot name", async () => {
    const { completeLock } = (await import(join(launcher, 'complete-lock.mjs'))) as {
      completeLock(lock: object): { packages: Record<string, unknown> };
    };
    const wanting = (name: string) => ({
      packages: { 'node_modules/a': { optionalDependencies: { [name]: '1.2.3' } } },
    });
    expect(completeLock(wanting('@a/b-linux-arm64-musl')).packages['node_modules/@a/b-linux-arm64-musl']).toEqual({
      version: '1.2.3',
      os: ['linux'],
      cpu: ['arm64'],
      libc: ['musl'],
      optional: true,
    });
    expect(() => completeLock(wanting('unknown'))).toThrow('unknown@1.2.3 of node_modules/a');
  });
});
