// Supplies secrets: from `<key>File` (a file only its owner may read) or from the environment, never inline in YAML.
// Precedence: environment over YAML; a variable and its _FILE twin together are refused, because one would be ignored.
import type { ConfigurationDocument } from './document.ts';
import type { Environment } from './environment.ts';
import { type ReadFile, readFailure } from './file.ts';
import { type Gathering, refuse, removeAt, setAt, valueAt } from './gathering.ts';
import { type Leaf, unwrap } from './keys.ts';
import { isSecretSchema, redacted, Secret } from './secret.ts';

interface SecretInputs {
  readonly document: ConfigurationDocument;
  readonly env: Environment;
  readonly readFile: ReadFile;
}

export function supplySecret(gathering: Gathering, leaf: Leaf, { document, env, readFile }: SecretInputs): void {
  const filePath = [...leaf.path.slice(0, -1), `${leaf.path.at(-1)}File`];
  const inline = valueAt(gathering.values, leaf.path);
  const fileInYaml = valueAt(gathering.values, filePath);
  removeAt(gathering.values, leaf.path);
  removeAt(gathering.values, filePath);

  if (inline !== undefined) {
    refuse(gathering, leaf, {
      where: document.locate(leaf.path) ?? 'file',
      came: `${redacted}, written in the file`,
      right: `${filePath.join('.')} with the path of a file that holds it (chmod 600), or ${leaf.variable}`,
    });
    return;
  }
  const variableFile = `${leaf.variable}_FILE`;
  const fromVariable = env[leaf.variable];
  const fileInVariable = env[variableFile];
  if (fromVariable !== undefined && fileInVariable !== undefined) {
    refuse(gathering, leaf, {
      where: 'environment',
      came: `both ${leaf.variable} and ${variableFile}`,
      right: 'one of the two',
    });
    return;
  }
  if (fromVariable !== undefined) {
    put(gathering, leaf, fromVariable.trim(), `env ${leaf.variable}`);
  } else if (fileInVariable !== undefined) {
    readInto(gathering, leaf, fileInVariable, variableFile, readFile);
  } else if (fileInYaml !== undefined) {
    readInto(gathering, leaf, fileInYaml, document.locate(filePath) ?? 'file', readFile);
  }
}

function readInto(gathering: Gathering, leaf: Leaf, path: unknown, where: string, readFile: ReadFile): void {
  if (typeof path !== 'string' || path.trim() === '') {
    refuse(gathering, leaf, {
      where,
      came: path === '' ? 'an empty path' : 'no path',
      right: 'the path of a file that holds the secret',
    });
    return;
  }
  let file: ReturnType<ReadFile>;
  try {
    file = readFile(path);
  } catch (error) {
    refuse(gathering, leaf, {
      where,
      came: `${path}: ${readFailure(error)}`,
      right: 'the path of a file that holds the secret, readable by this user only',
    });
    return;
  }
  const permissions = file.mode & 0o777;
  if ((permissions & 0o077) !== 0) {
    const mode = permissions.toString(8).padStart(4, '0');
    refuse(gathering, leaf, {
      where,
      came: `${path}, which others on this machine may use (mode ${mode})`,
      right: `a file for its owner only: chmod 600 ${path}`,
    });
    return;
  }
  put(gathering, leaf, file.text.trim(), `file ${path}`);
}

function put(gathering: Gathering, leaf: Leaf, value: string, source: string): void {
  if (value === '') {
    refuse(gathering, leaf, {
      where: source.replace(/^\w+ /, ''),
      came: 'an empty secret',
      right: 'a secret that is not empty',
    });
    return;
  }
  const supplied = isSecretSchema(unwrap(leaf.schema)) ? new Secret(value) : value;
  if (setAt(gathering.values, leaf.path, supplied)) gathering.sources.set(leaf.key, source);
}
