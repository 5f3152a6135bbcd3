// The configuration in force as YAML, with the source of each value: what an operator asks for first.
import { Document, isCollection, isMap, type Node } from 'yaml';
import { ConfigurationDefinitionError } from './errors.ts';
import { withoutPasswords } from './expectation.ts';
import { setAt, valueAt } from './gathering.ts';
import { provenanceOf } from './provenance.ts';
import { redacted } from './secret.ts';

/**
 * YAML of an object made by `loadConfiguration`: secrets and passwords inside URLs redacted, each value followed by
 * its source (`# file gateway.yaml:3`, `# env ATOLL_…`, `# default`). Optional keys that are not set are left out.
 * Throws ConfigurationDefinitionError for any other object.
 */
export function renderEffective(configuration: object): string {
  const provenance = provenanceOf(configuration);
  if (!provenance) throw new ConfigurationDefinitionError('only an object made by loadConfiguration can be rendered');
  const { definition, sources } = provenance;
  const plain: Record<string, unknown> = {};
  const shownLeaves = definition.keys.leaves.filter((leaf) => valueAt(configuration, leaf.path) !== undefined);
  for (const leaf of shownLeaves) {
    setAt(plain, leaf.path, leaf.secret ? redacted : withoutPasswordsInside(valueAt(configuration, leaf.path)));
  }
  const document = new Document(plain);
  for (const leaf of shownLeaves) {
    const node = document.getIn(leaf.path, true) as Node;
    // On one line, so that the comment stands behind the value that it explains.
    if (isCollection(node)) node.flow = true;
    node.comment = ` ${sources.get(leaf.key) ?? 'default'}`;
  }
  if (isMap(document.contents) && document.contents.items.length === 0) return '';
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

function withoutPasswordsInside(value: unknown): unknown {
  return JSON.parse(withoutPasswords(JSON.stringify(value)));
}
