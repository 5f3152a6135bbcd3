// The bearer token of an engine, from a file that only its owner may read.
import { open } from 'node:fs/promises';
import { EngineError, hasCode, messageOf } from '../../errors.ts';

const OTHERS_MAY = 0o077;
const TOKEN_CHARACTERS_MAX = 8_192;

/** Text and mode are of the same open file. Throws EngineError that says what to change. */
export async function readTokenFile(path: string): Promise<string> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    const why = hasCode(cause, 'ENOENT') ? 'it is not there' : messageOf(cause);
    throw new EngineError(`The token cannot be read from ${path}: ${why}.`, { cause });
  });
  try {
    const { mode, size } = await handle.stat();
    if ((mode & OTHERS_MAY) !== 0) {
      const shown = (mode & 0o777).toString(8).padStart(4, '0');
      throw new EngineError(`${path} may be used by others on this machine (mode ${shown}): chmod 600 it.`);
    }
    const token = size > TOKEN_CHARACTERS_MAX ? '' : (await handle.readFile('utf8')).trim();
    if (token === '' || /\s/.test(token)) throw new EngineError(`${path} does not hold a token, and nothing else.`);
    return token;
  } finally {
    await handle.close();
  }
}
