// Whether a bundle's text is the centre's: Ed25519 over the context and the text, by the key of the desired document.
import { createPublicKey, verify } from 'node:crypto';
import { BUNDLE_SIGNATURE_CONTEXT } from '#domain';

/** Never throws: a key or a signature that is none proves nothing. */
export function isSignedBundle(text: string, signature: string, verifyingKey: string): boolean {
  try {
    const bytes = Buffer.from(BUNDLE_SIGNATURE_CONTEXT + text);
    return verify(null, bytes, createPublicKey(verifyingKey), Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}
