// Decides by a key's name, however deep it is and however it is written, whether its value may be in a log (S8).

export const REDACTED = '[redacted]';

/** Content of users, and words too general to match at the end of others. Compared without case, `-` and `_`. */
const NAMES = new Set([
  'messages',
  'prompt',
  'prompts',
  'input',
  'body',
  'key',
  'connectionstring',
  'cookie',
  'setcookie',
]);

/** `joinToken`, `user_jwt` and `Proxy-Authorization` end so; `promptTokens` and `publicKey` do not. */
const ENDING = /(authorization|password|passphrase|token|secret|seed|jwt|apikey|privatekey)$/;

/** Levels that are looked into. What is deeper is left out whole, because nobody has looked at it. */
const DEPTH_MAX = 8;

/** A copy without the values of secret keys. Class instances pass as they are: pino's serialisers know them. */
export function withoutSecrets(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactFields(fields, 0);
}

function redactFields(fields: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      isSecretName(name) ? REDACTED : redactValue(value, depth + 1),
    ]),
  );
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > DEPTH_MAX) return '[too deep]';
  if (Array.isArray(value)) return value.map((entry) => redactValue(entry, depth + 1));
  const prototype = Object.getPrototypeOf(value);
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  return isPlain ? redactFields(value as Record<string, unknown>, depth) : value;
}

function isSecretName(name: string): boolean {
  const folded = name.replace(/[-_]/g, '').toLowerCase();
  return NAMES.has(folded) || ENDING.test(folded);
}
