import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { aKey, ID } from '../test/builders.fixture.ts';
import { adminServer, problem, temporaryFolder } from '../test/cli.fixture.ts';

const SECRET = 'atoll_pub1_shown-once';
const folder = temporaryFolder();
const { server } = adminServer();
afterAll(() => folder.remove());

const makers: readonly [command: string, flag: string, call: string, made: object][] = [
  ['key create ci', '--key-out', 'POST /api-keys', { ...aKey(), key: SECRET }],
  [
    'cluster token create edge --kind edge --pre-approved --label a=b',
    '--token-out',
    'POST /join-tokens',
    { id: ID, clusterName: 'edge', token: SECRET, expiresAt: '2030-01-01T13:00:00.000Z' },
  ],
];

describe.each(makers)('atoll %s', (command, flag, call, made) => {
  it('prints the secret once, alone on stdout', async () => {
    server.on(call, { status: 201, body: made });
    const { exitCode, out, err } = await server.run(command.split(' '));
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: `${SECRET}\n` });
    expect(err).toContain('not shown again');
    expect(err).not.toContain(SECRET);
  });

  it('writes it to a new file of 0600 and shows it nowhere, in no format', async () => {
    server.on(call, { status: 201, body: made });
    for (const format of ['table', 'json', 'yaml']) {
      const file = join(folder.path, `${flag}-${format}`);
      const { exitCode, out, err } = await server.run([...command.split(' '), flag, file, '-o', format]);
      expect({ exitCode, err, shown: out.includes(SECRET) }).toEqual({ exitCode: 0, err: '', shown: false });
      expect({ text: readFileSync(file, 'utf8'), mode: statSync(file).mode & 0o777 }).toEqual({
        text: `${SECRET}\n`,
        mode: 0o600,
      });
    }
  });

  it('makes nothing when the file is there already', async () => {
    const file = join(folder.path, `${flag}-taken`);
    writeFileSync(file, 'mine');
    const { exitCode, err } = await server.run([...command.split(' '), flag, file]);
    expect({ exitCode, err, calls: server.seen, text: readFileSync(file, 'utf8') }).toEqual({
      exitCode: 2,
      err: `error: ${file} cannot be made: it is there already; nothing was done\n`,
      calls: [],
      text: 'mine',
    });
  });

  it('leaves no file when it is refused', async () => {
    server.on(call, problem(403, 'forbidden', 'Your role may not.'));
    const file = join(folder.path, `${flag}-refused`);
    const { exitCode } = await server.run([...command.split(' '), flag, file]);
    expect({ exitCode, isThere: statSync(file, { throwIfNoEntry: false }) !== undefined }).toEqual({
      exitCode: 1,
      isThere: false,
    });
  });
});
