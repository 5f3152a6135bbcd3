/** Compiles the sources; undefined where the compiler is not installed. */
export function compile(): Promise<Uint8Array | undefined>;
export function sourceDigest(): string;
export function generatedText(binary: Uint8Array): string;
export const generatedPath: string;
