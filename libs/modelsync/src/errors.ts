/**
 * Everything that can be wrong with a model file, a diff or its base. Each error says what was found, where, and what
 * that means for the caller; all of them extend {@link ModelSyncError}, so that one `instanceof` tells bad input from a
 * defect of ours.
 */
export class ModelSyncError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A source gave fewer bytes than it said it has: the file was cut or is still being written. */
export class ShortReadError extends ModelSyncError {
  readonly offset: number;
  constructor(offset: number, wanted: number, got: number) {
    super(`wanted ${wanted} bytes at ${offset}, got ${Math.max(0, got)}: the file is cut or still being written`);
    this.offset = offset;
  }
}

/** A safetensors or GGUF file whose header breaks the rules of its format. */
export class MalformedModelError extends ModelSyncError {
  readonly format: string;
  constructor(format: string, problem: string, options?: ErrorOptions) {
    super(`not a valid ${format} file: ${problem}`, options);
    this.format = format;
  }
}

/** A file that Atoll will not carry, because loading it can run code. */
export class RefusedFormatError extends ModelSyncError {
  constructor(format: string) {
    super(`${format} files can run code when they are loaded; convert the model to safetensors or GGUF`);
  }
}

/** The bytes do not begin like a diff or snapshot container. */
export class NotADiffError extends ModelSyncError {
  constructor(found: string) {
    super(`not a diff or snapshot: it begins with ${found}`);
  }
}

/** The container was written by a newer Atoll. */
export class UnsupportedVersionError extends ModelSyncError {
  readonly version: number;
  constructor(version: number, newest: number) {
    super(`this container has format version ${version}; this Atoll reads up to ${newest}: upgrade it first`);
    this.version = version;
  }
}

/** The container uses a codec or element type that this reader does not know. */
export class UnknownCodecError extends ModelSyncError {
  constructor(what: 'codec' | 'element type', code: number) {
    super(`unknown ${what} ${code}: upgrade this Atoll, or fetch the diff again`);
  }
}

/** The container is cut, flipped or inconsistent: fetch it again. */
export class CorruptDiffError extends ModelSyncError {
  constructor(problem: string, options?: ErrorOptions) {
    super(`the diff is damaged: ${problem}; fetch it again`, options);
  }
}

/** The file that the diff is to be applied to is not the one it was made from. */
export class WrongBaseError extends ModelSyncError {
  constructor(problem: string) {
    super(`wrong base: ${problem}`);
  }
}

/** The result, decoded or promised by the container, is not the file that was published. It must not be used. */
export class WrongResultError extends ModelSyncError {
  readonly wanted: string;
  readonly got: string;
  constructor(wanted: string, got: string) {
    super(`the result's SHA-256 is ${got}, not ${wanted}: it must not be used`);
    this.wanted = wanted;
    this.got = got;
  }
}

/** The caller asked for what the format cannot do. */
export class InvalidOptionError extends ModelSyncError {
  constructor(option: string, problem: string) {
    super(`${option}: ${problem}`);
  }
}
