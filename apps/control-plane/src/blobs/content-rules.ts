// What may be a file of a model version (S7): GGUF and safetensors are checked by their first bytes; pickles, which run
// code when they are loaded, are refused unless the installation allows them. Pure.

export const HEAD_BYTES = 16;

/** Header of a safetensors file beyond which it is taken for malformed; the format's own bound. */
const SAFETENSORS_HEADER_BYTES_MAX = 100_000_000;

const PICKLE_ENDINGS = ['.bin', '.pt', '.pth', '.pkl', '.pickle', '.ckpt'];

export interface ContentRules {
  readonly pickleAllowed: boolean;
}

/** Why a file of this name is refused before any byte came, or null. */
export function nameProblem(path: string, rules: ContentRules): string | null {
  const ending = PICKLE_ENDINGS.find((each) => path.toLowerCase().endsWith(each));
  if (ending === undefined || rules.pickleAllowed) return null;
  return `ends in ${ending}, which may hold a pickle that runs code when loaded; convert it to safetensors or GGUF`;
}

/**
 * Why content that begins so is refused under this name, or null.
 *
 * @param head the first bytes: HEAD_BYTES of them, or all when the file is shorter
 */
export function headProblem(path: string, head: Buffer, sizeBytes: number, rules: ContentRules): string | null {
  const name = path.toLowerCase();
  if (name.endsWith('.gguf')) {
    return head.subarray(0, 4).toString('latin1') === 'GGUF' ? null : 'is named .gguf but does not begin with "GGUF"';
  }
  if (name.endsWith('.safetensors')) return safetensorsProblem(head, sizeBytes);
  if (!rules.pickleAllowed && isPickle(head)) {
    return 'begins like a pickle or a PyTorch archive, which runs code when loaded; convert it to safetensors or GGUF';
  }
  return null;
}

function safetensorsProblem(head: Buffer, sizeBytes: number): string | null {
  if (head.length < 9) return 'is named .safetensors but is too short to be one';
  const headerBytes = head.readBigUInt64LE(0);
  if (headerBytes > BigInt(SAFETENSORS_HEADER_BYTES_MAX) || headerBytes > BigInt(sizeBytes - 8)) {
    return 'is named .safetensors but declares a header larger than the file or the format allows';
  }
  return head[8] === 0x7b ? null : 'is named .safetensors but its header is not JSON';
}

/** Pickle protocols 2 to 5, or a zip archive, which is what PyTorch writes. */
function isPickle(head: Buffer): boolean {
  const isProtocol = head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5;
  return isProtocol || head.subarray(0, 4).equals(Buffer.from([0x50, 0x4b, 0x03, 0x04]));
}
