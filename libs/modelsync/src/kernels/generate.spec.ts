import { describe, expect, it } from '@jest/globals';
import { compile, sourceDigest } from './generate.mjs';
import { moduleBase64, sourceSha256 } from './module.generated.ts';

describe('the generated module', () => {
  it('was made from the sources that are here: run generate.mjs after a change', () => {
    expect(sourceSha256).toBe(sourceDigest());
  });

  it('is what the compiler makes of them, where it is installed', async () => {
    const binary = await compile();
    expect(binary === undefined ? moduleBase64 : Buffer.from(binary).toString('base64')).toBe(moduleBase64);
  });
});
