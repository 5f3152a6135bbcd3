// A Kubernetes API server for specs: a real HTTP server that speaks the API for the kinds that the agent uses (discovery,
// get, paged list, server-side apply with owners of fields, merge patch, delete with propagation and preconditions, watch
// with resume and bookmarks, logs), refuses what the published schemas refuse, and enforces RBAC rules. It runs no
// controllers: a spec plays scheduler and kubelet. Faults on demand: throttling, cuts, expiry, an API that is away.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { v7 as uuidv7 } from 'uuid';
import { KubernetesConnection } from '../src/kubernetes/connection.ts';
import { KINDS, type Kind } from '../src/kubernetes/kinds.ts';
import { applyObject, type FieldSet, fieldsOf } from './kubernetes-apply.fixture.ts';
import {
  type AnyObject,
  hasAll,
  isEqual,
  isSelected,
  keyOf,
  mergeInto,
  parsePath,
  pick,
  pickKind,
  selectorIn,
  type Target,
  targetOf,
  verbOf,
} from './kubernetes-paths.fixture.ts';
import { admissionProblems } from './kubernetes-schemas.fixture.ts';

const TOKEN = 'a-service-account-token';

export type { AnyObject };

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

export interface Seen {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly name: string | undefined;
  readonly query: URLSearchParams;
  readonly body: AnyObject;
}

interface Stored {
  readonly group: string;
  readonly resource: string;
  readonly object: AnyObject;
  readonly owners: ReadonlyMap<string, FieldSet>;
}

interface Change {
  readonly version: number;
  readonly group: string;
  readonly resource: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: AnyObject;
}

interface Watcher {
  readonly group: string;
  readonly resource: string;
  readonly selector: string;
  readonly response: ServerResponse;
}

class Refusal extends Error {
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly object[];

  constructor(status: number, reason: string, message: string, causes: readonly object[] = []) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.causes = causes;
  }
}

export class KubernetesApiFixture {
  readonly seen: Seen[] = [];
  /** Pod → its log; `<pod>:previous`: of the container before. */
  readonly logs = new Map<string, string>();
  /** What was asked for, in the words of RBAC: `patch apps/deployments`. */
  readonly used = new Set<string>();
  /** Null: everybody may do everything. */
  rules: readonly Rule[] | null = null;
  /** Deleted Deployments and Jobs keep their pods until `finishDeletions`. */
  holdsDeletions = false;
  /** Every connection is cut as soon as it comes. */
  isAway = false;
  pageMax = 1_000;
  readonly #server: Server;
  readonly #objects = new Map<string, Stored>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #kinds: readonly Kind[];
  #version = 1_000;
  #expiredBefore = 0;
  #refusals: { status: number; headers: Record<string, string> }[] = [];
  #breaks = 0;

  constructor(kinds: readonly Kind[] = Object.values(KINDS)) {
    this.#kinds = kinds;
    this.#server = createServer((incoming, response) => void this.#serve(incoming, response));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.cutWatches();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** As the agent: with its service account. */
  connection(token = TOKEN): KubernetesConnection {
    const { url } = this;
    return new (class extends KubernetesConnection {
      override server = () => Promise.resolve(url);
      override credentials = () => Promise.resolve({ headers: { authorization: `Bearer ${token}` } });
    })();
  }

  /** Answers the next `count` calls with `status`. */
  refuseNext(count: number, status: number, headers: Record<string, string> = {}): void {
    this.#refusals.push(...Array.from({ length: count }, () => ({ status, headers })));
  }

  /** Cuts the connection of the next `count` calls. */
  breakNext(count: number): void {
    this.#breaks += count;
  }

  cutWatches(): void {
    for (const { response } of this.#watchers) response.destroy();
    this.#watchers.clear();
  }

  /** In every stream, as it is. */
  say(text: string): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  get watching(): number {
    return this.#watchers.size;
  }

  /** What was seen until now cannot be gone on from. */
  expire(): void {
    this.#expiredBefore = this.#version + 1;
    this.#version += 1;
  }

  bookmark(): void {
    for (const { response, resource } of this.#watchers) {
      const kind = this.#kinds.find(({ plural }) => plural === resource)!;
      const object = {
        apiVersion: kind.apiVersion,
        kind: kind.kind,
        metadata: { resourceVersion: `${this.#version}` },
      };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** As `manager`, beside what the agent does: controllers, kubectl, other people. */
  put(object: AnyObject, manager = 'controller'): AnyObject {
    const kind = this.#kinds.find((each) => each.apiVersion === object.apiVersion && each.kind === object.kind)!;
    const target = targetOf(kind, object.metadata.namespace, object.metadata.name);
    const before = this.#objects.get(keyOf(target));
    const owners = new Map(before?.owners ?? []).set(manager, fieldsOf(object));
    return this.#store(target, structuredClone({ ...before?.object, ...object }), owners, before);
  }

  get(plural: string, name: string): AnyObject {
    return [...this.#objects.values()].find((each) => each.resource === plural && each.object.metadata.name === name)
      ?.object;
  }

  list(plural: string): AnyObject[] {
    return [...this.#objects.values()].filter(({ resource }) => resource === plural).map(({ object }) => object);
  }

  /** At once and without ado. */
  drop(plural: string, name: string): void {
    const found = [...this.#objects].find(([, each]) => each.resource === plural && each.object.metadata.name === name);
    if (found !== undefined) this.#remove(found[0]);
  }

  /** What the garbage collector does: dependents first. */
  finishDeletions(): void {
    for (const [key, { object }] of [...this.#objects]) {
      if (object.metadata.deletionTimestamp === undefined) continue;
      this.#removeDependents(object);
      this.#remove(key);
    }
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isAway || this.#breaks > 0) {
      if (!this.isAway) this.#breaks -= 1;
      return void incoming.socket.destroy();
    }
    const body = await readBody(incoming);
    const refused = this.#refusals.shift();
    if (refused !== undefined) {
      return answer(
        response,
        refused.status,
        statusOf(refused.status, 'TooManyRequests', 'slow down'),
        refused.headers,
      );
    }
    try {
      this.#route(incoming, body, response);
    } catch (cause) {
      if (!(cause instanceof Refusal)) return answer(response, 500, statusOf(500, 'InternalError', String(cause)));
      answer(response, cause.status, statusOf(cause.status, cause.reason, cause.message, cause.causes));
    }
  }

  #route(incoming: IncomingMessage, body: string, response: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', this.url);
    if (incoming.headers.authorization !== `Bearer ${TOKEN}`) throw new Refusal(401, 'Unauthorized', 'Unauthorized');
    const discovery = this.#discovery(url.pathname);
    if (discovery !== null) {
      answer(response, 200, discovery);
      return;
    }
    const target = parsePath(url.pathname);
    if (target === null || !this.#isKnown(target)) {
      throw new Refusal(404, 'NotFound', 'the server could not find the requested resource');
    }
    const parsedBody = body === '' ? undefined : (JSON.parse(body) as AnyObject);
    const verb = verbOf(incoming.method ?? 'GET', target, url.searchParams);
    this.seen.push({ verb, ...pick(target), query: url.searchParams, body: parsedBody });
    this.#authorize(verb, target);
    const contentType = incoming.headers['content-type'] ?? '';
    const reply = this.#do(verb, target, { url, body: parsedBody, contentType }, response);
    if (reply !== undefined) answer(response, 200, reply);
  }

  /** Undefined: it answers by itself. */
  #do(
    verb: string,
    target: Target,
    { url, body, contentType }: { url: URL; body: AnyObject; contentType: string },
    response: ServerResponse,
  ): object | undefined {
    const query = url.searchParams;
    if (target.subresource === 'log') this.#log(target, query, response);
    else if (verb === 'watch') this.#watch(target, query, response);
    else if (verb === 'list') return this.#listPage(target, query);
    else if (verb === 'get') return this.#find(target).object;
    else if (verb === 'delete') return this.#delete(target, body);
    else if (verb === 'patch') {
      const isApply = contentType.startsWith('application/apply-patch');
      return isApply ? this.#apply(target, body, query) : this.#mergePatch(target, body, query);
    } else throw new Refusal(405, 'MethodNotAllowed', 'the server does not allow this method on the resource');
    return undefined;
  }

  #discovery(path: string): object | null {
    const versions = [...new Set(this.#kinds.map(({ apiVersion }) => apiVersion))];
    if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
    if (path === '/apis') {
      const groups = versions
        .filter((each) => each.includes('/'))
        .map((groupVersion) => {
          const [name, version] = groupVersion.split('/');
          const entry = { groupVersion, version };
          return { name, versions: [entry], preferredVersion: entry };
        });
      return { kind: 'APIGroupList', apiVersion: 'v1', groups };
    }
    const groupVersion = /^\/apis?\/(.+)$/.exec(path)?.[1];
    if (groupVersion === undefined || !versions.includes(groupVersion)) return null;
    const kinds = this.#kinds.filter(({ apiVersion }) => apiVersion === groupVersion);
    const resources = kinds.map(({ plural, kind, isNamespaced, verbs }) => {
      return { name: plural, singularName: kind.toLowerCase(), namespaced: isNamespaced, kind, verbs };
    });
    return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
  }

  #isKnown({ version, group, resource }: Target): boolean {
    const apiVersion = group === '' ? version : `${group}/${version}`;
    return this.#kinds.some((kind) => kind.apiVersion === apiVersion && kind.plural.split('/')[0] === resource);
  }

  #authorize(verb: string, { group, resource, subresource }: Target): void {
    const full = subresource === undefined ? resource : `${resource}/${subresource}`;
    this.used.add(`${verb} ${group}/${full}`);
    const isGranted = this.rules?.some(
      (rule) => rule.apiGroups.includes(group) && rule.resources.includes(full) && rule.verbs.includes(verb),
    );
    if (isGranted === false)
      throw new Refusal(403, 'Forbidden', `${full} is forbidden: cannot ${verb} in group "${group}"`);
  }

  #apply(target: Target, wanted: AnyObject, query: URLSearchParams): AnyObject {
    const manager = query.get('fieldManager');
    if (manager === null) throw new Refusal(400, 'BadRequest', 'fieldManager is required for apply patch');
    const key = keyOf(target);
    const before = this.#objects.get(key);
    if (before === undefined) this.#authorize('create', target);
    refuseInvalid(target, wanted);
    const applied = applyObject(
      before?.object,
      wanted,
      before?.owners ?? new Map(),
      manager,
      query.get('force') === 'true',
    );
    if (!('object' in applied)) {
      const causes = applied.map(({ manager: name, field }) => {
        return { reason: 'FieldManagerConflict', message: `conflict with "${name}"`, field };
      });
      const words = `Apply failed with ${causes.length} conflict: ${causes.map((each) => each.message).join(', ')}`;
      throw new Refusal(409, 'Conflict', words, causes);
    }
    if (before !== undefined && !isEqual(selectorIn(before.object), selectorIn(applied.object))) {
      throw new Refusal(422, 'Invalid', 'spec.selector: field is immutable');
    }
    if (query.get('dryRun') === 'All') return applied.object;
    if (before !== undefined && isEqual(before.object, applied.object)) return before.object;
    return this.#store(target, applied.object, applied.owners, before);
  }

  #mergePatch(target: Target, patch: AnyObject, query: URLSearchParams): AnyObject {
    const before = this.#find(target);
    const object = structuredClone(before.object);
    mergeInto(object, patch);
    refuseInvalid(target, object);
    const manager = query.get('fieldManager') ?? 'unknown';
    const owners = new Map(before.owners).set(`${manager} (update)`, fieldsOf({ ...patch, ...pickKind(object) }));
    return this.#store(target, object, owners, before);
  }

  #delete(target: Target, options: AnyObject): AnyObject {
    const { object, owners } = this.#find(target);
    const uid = options?.preconditions?.uid;
    if (uid !== undefined && uid !== object.metadata.uid) {
      throw new Refusal(409, 'Conflict', `the UID in the precondition (${uid}) does not match the UID in record`);
    }
    if (options?.propagationPolicy !== 'Foreground') {
      this.#remove(keyOf(target));
      return object;
    }
    const deletionTimestamp = object.metadata.deletionTimestamp ?? new Date(0).toISOString();
    const metadata = { ...object.metadata, deletionTimestamp, finalizers: ['foregroundDeletion'] };
    const stored = this.#store(target, { ...object, metadata }, owners, this.#find(target));
    if (!this.holdsDeletions) setImmediate(() => this.finishDeletions());
    return stored;
  }

  #listPage(target: Target, query: URLSearchParams): object {
    const token = query.get('continue') ?? '';
    const [start = '0', version = `${this.#version}`] = token === '' ? [] : token.split('@');
    if (Number(version) < this.#expiredBefore) {
      throw new Refusal(
        410,
        'Expired',
        'The provided continue parameter is too old to display a consistent list result.',
      );
    }
    const all = [...this.#objects.values()]
      .filter(({ group, resource }) => group === target.group && resource === target.resource)
      .map(({ object }) => object)
      .filter((object) => isSelected(object, query.get('labelSelector') ?? ''));
    const limit = Math.min(this.pageMax, Number(query.get('limit') ?? this.pageMax));
    const end = Number(start) + limit;
    const items = all.slice(Number(start), end).map(({ apiVersion: _version, kind: _kind, ...rest }) => rest);
    const metadata = { resourceVersion: version, ...(end < all.length ? { continue: `${end}@${version}` } : {}) };
    const { apiVersion, kind } = this.#kinds.find((each) => each.plural === target.resource)!;
    return { apiVersion, kind: `${kind}List`, metadata, items };
  }

  #watch(target: Target, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion') ?? 0);
    const selector = query.get('labelSelector') ?? '';
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < this.#expiredBefore) {
      const object = statusOf(410, 'Expired', `too old resource version: ${from} (${this.#expiredBefore})`);
      return void response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
    }
    const watcher = { group: target.group, resource: target.resource, selector, response };
    for (const change of this.#changes) if (change.version > from) tell(watcher, change);
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #log({ name = '' }: Target, query: URLSearchParams, response: ServerResponse): void {
    const isPrevious = query.get('previous') === 'true';
    const log = this.logs.get(isPrevious ? `${name}:previous` : name);
    if (this.get('pods', name) === undefined) throw new Refusal(404, 'NotFound', `pods "${name}" not found`);
    if (log === undefined) throw new Refusal(400, 'BadRequest', `container in pod "${name}" is waiting to start`);
    const lines = log.split('\n').slice(-Number(query.get('tailLines') ?? 1_000));
    response.writeHead(200, { 'content-type': 'text/plain' }).end(lines.join('\n'));
  }

  #find(target: Target): Stored {
    const found = this.#objects.get(keyOf(target));
    if (found === undefined) throw new Refusal(404, 'NotFound', `${target.resource} "${target.name}" not found`);
    return found;
  }

  #store(
    target: Target,
    object: AnyObject,
    owners: ReadonlyMap<string, FieldSet>,
    before: Stored | undefined,
  ): AnyObject {
    this.#version += 1;
    const metadata = {
      ...object.metadata,
      ...(target.namespace === undefined ? {} : { namespace: target.namespace }),
      uid: before?.object.metadata.uid ?? uuidv7(),
      creationTimestamp: before?.object.metadata.creationTimestamp ?? new Date(this.#version * 1_000).toISOString(),
      resourceVersion: `${this.#version}`,
    };
    const stored = { ...object, metadata };
    this.#objects.set(keyOf(target), { group: target.group, resource: target.resource, object: stored, owners });
    this.#changed(before === undefined ? 'ADDED' : 'MODIFIED', target, stored);
    return stored;
  }

  #remove(key: string): void {
    const found = this.#objects.get(key);
    if (found === undefined) return;
    this.#objects.delete(key);
    this.#version += 1;
    const metadata = { ...found.object.metadata, resourceVersion: `${this.#version}` };
    this.#changed('DELETED', found, { ...found.object, metadata });
  }

  #removeDependents(owner: AnyObject): void {
    const selector = selectorIn(owner);
    for (const [key, { resource, object }] of [...this.#objects]) {
      const isOwned = object.metadata.ownerReferences?.some((each: AnyObject) => each.uid === owner.metadata.uid);
      const isItsPod = resource === 'pods' && selector !== undefined && hasAll(object.metadata.labels, selector);
      if (isOwned || isItsPod) this.#remove(key);
    }
  }

  #changed(type: Change['type'], { group, resource }: Pick<Stored, 'group' | 'resource'>, object: AnyObject): void {
    const change = { version: this.#version, group, resource, type, object };
    this.#changes.push(change);
    for (const watcher of this.#watchers) tell(watcher, change);
  }
}

function tell({ group, resource, selector, response }: Watcher, change: Change): void {
  if (change.group !== group || change.resource !== resource || !isSelected(change.object, selector)) return;
  response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
}

function refuseInvalid(target: Target, object: AnyObject): void {
  const problems = admissionProblems(target, object);
  if (problems.length > 0) throw new Refusal(422, 'Invalid', problems.join('; '));
}

function statusOf(code: number, reason: string, message: string, causes: readonly object[] = []): object {
  return { apiVersion: 'v1', kind: 'Status', status: 'Failure', code, reason, message, details: { causes } };
}

function answer(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}
