/** Everything of an instance that must be in no log, and everything that is a log. */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** NKey seeds and JWTs, key material, tokens: anything long enough not to be a word. */
const SECRET = /[A-Za-z0-9_\-+/=]{24,}/g;
/** The same in every JWT of NATS: its type and algorithm. PEM's first bytes name the algorithm. */
const PUBLIC = /^(eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ|-+BEGIN|-+END)/;

export async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Long strings of the files in a folder of secrets, each with the file that it is from. */
export async function secretsUnder(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const file of await filesUnder(folder)) {
    const text = await readFile(file, 'utf8');
    for (const [word] of text.matchAll(SECRET)) {
      for (const part of word.split('.'))
        if (part.length >= 24 && !PUBLIC.test(part)) found.set(part, relative(folder, file));
    }
  }
  return found;
}

/** `<log>: <what>` for each needle in each log file under a folder. */
export async function foundInLogs(folder: string, needles: ReadonlyMap<string, string>): Promise<string[]> {
  const logs = (await filesUnder(folder)).filter((file) => /\.log(\.\d+)?$/.test(file));
  if (logs.length === 0) throw new Error(`${folder} holds no logs`);
  const found: string[] = [];
  for (const log of logs) {
    const text = await readFile(log, 'utf8');
    for (const [needle, name] of needles) if (text.includes(needle)) found.push(`${relative(folder, log)}: ${name}`);
  }
  return found;
}
