/** One server and some devices, and what must be true of them when nobody changes anything any more. */
import assert from 'node:assert/strict';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { EXACT_NAMES, spotOf, type NameProfile } from '#core/name-profile.ts';
import { CERTAIN, ModelClient, type Chance } from './model-client.ts';
import { ModelServer, type ModelJournal } from './model-server.ts';

const PLANS_MAX = 200;

export class ModelWorld {
  readonly server: ModelJournal;
  readonly clients: ModelClient[] = [];
  /** The most plans that any device needed until it was quiet. */
  plansMost = 0;
  #ids = 0;
  #salt = 0;

  /** How many clients, or what their disks make of names. */
  constructor(clients: number | readonly NameProfile[], server: ModelJournal = new ModelServer()) {
    this.server = server;
    const profiles = typeof clients === 'number' ? Array.from({ length: clients }, () => EXACT_NAMES) : clients;
    for (const names of profiles) this.link(names);
  }

  /** `salt`: the ids to come are other ones, in another order. */
  copy(salt = 0): ModelWorld {
    const copy = new ModelWorld(0, this.server.copy());
    for (const client of this.clients) copy.clients.push(client.copy(copy.server, () => copy.#newId()));
    copy.#ids = this.#ids;
    copy.#salt = salt;
    return copy;
  }

  link(names: NameProfile = EXACT_NAMES): ModelClient {
    const client = new ModelClient(`device${this.clients.length + 1}`, this.server, () => this.#newId(), names);
    this.clients.push(client);
    return client;
  }

  get first(): ModelClient {
    return this.clients[0]!;
  }

  get second(): ModelClient {
    return this.clients[1]!;
  }

  #newId(): EntryId {
    // Scattered, so that the order of ids says nothing of the order of making.
    const scattered = (Math.imul(++this.#ids, 0x9e3779b1) ^ this.#salt) >>> 0;
    return `${scattered.toString(16).padStart(8, '0')}${this.#ids.toString(16).padStart(24, '0')}` as EntryId;
  }

  /** Steps every device in turn, which one when by `pick`, until none has anything to do. */
  converge(chance: Chance = CERTAIN, pick: (clients: readonly ModelClient[]) => ModelClient = inTurn()): void {
    for (const client of this.clients) client.plans = 0;
    for (let steps = 0; !this.#isQuiet(); steps++) {
      const client = pick(this.clients);
      client.pull();
      client.step(steps < PLANS_MAX / 2 ? chance : CERTAIN);
      if (client.plans >= PLANS_MAX) assert.fail(`no end: ${JSON.stringify(client.makePlan())}`);
    }
    for (const { plans } of this.clients) this.plansMost = Math.max(this.plansMost, plans);
    this.check();
  }

  #isQuiet(): boolean {
    return this.clients.every((client) => client.isAtHead && client.dirty.size === 0);
  }

  check(): void {
    for (const client of this.clients) {
      const { absent, left } = this.#absentFrom(client);
      const lacks = client.absent();
      if (absent.size > 0 || lacks.length > 0)
        assert.deepEqual(lacks.sort(), [...absent].sort(), `${client.name} lacks what its disk cannot hold`);
      const shows = (entry: EntryId) => client.isWanted(entry) && !absent.has(entry) && !left.has(entry);
      const [here, there] = [client.picture(shows), this.server.picture(shows)] as const;
      if (!isSame(here, there))
        assert.deepEqual(sorted(here), sorted(there), `${client.name} holds what the server holds`);
      checkAliases(client, left);
      checkBases(client, left);
      client.dirtyAll();
      const made = client.makePlan();
      client.dirty.clear();
      const { reads, tree, conflicts, up, down, waiting } = made;
      if ([reads, tree, conflicts, up, down, waiting].some(({ length }) => length > 0))
        assert.deepEqual({ reads, tree, conflicts, up, down, waiting }, EMPTY, `${client.name} has nothing left to do`);
    }
  }

  /** What its disk refuses and what lies in that; `left`: what was there before it went there, and stays where it is. */
  #absentFrom(client: ModelClient): { readonly absent: Set<EntryId>; readonly left: Set<EntryId> } {
    const absent = new Set<EntryId>();
    const left = new Set<EntryId>();
    const open: EntryId[] = [ROOT_ENTRY];
    for (let above = open.pop(); above !== undefined; above = open.pop()) {
      for (const { entry, parent, name } of this.server.children(above)) {
        const isHere = client.trees.local(entry) !== null;
        if (!isHere && (absent.has(parent) || client.trees.refuses(parent, name))) absent.add(entry);
        if (isHere && absent.has(parent)) left.add(entry);
        open.push(entry);
      }
    }
    // A folder that others deleted stays for the sake of such a thing in it.
    for (const entry of left) {
      const parent = client.trees.local(entry)?.parent ?? ROOT_ENTRY;
      if (parent !== ROOT_ENTRY && !this.server.isLive(parent)) left.add(parent);
    }
    return { absent, left };
  }

  contents(): string[] {
    return [...this.server.picture().values()].filter((text) => text.startsWith('file')).sort();
  }

  copies(): string[] {
    return [...this.server.picture().keys()].filter((path) => path.includes('conflicted copy'));
  }

  paths(): string[] {
    return [...this.server.picture()].map(([path, text]) => `${path} = ${text}`).sort();
  }
}

/** Only what cannot be called by its name is called otherwise. What was `left` has its name elsewhere. */
function checkAliases({ name, trees }: ModelClient, left: ReadonlySet<EntryId>): void {
  for (const row of trees.localRows.values()) {
    if (left.has(row.entry)) continue;
    if (row.alias === null || spotOf(trees.names, row.alias) === spotOf(trees.names, row.name)) continue;
    const isNeeded = trees.refuses(row.parent, row.name) || trees.localAt(row.parent, row.name) !== null;
    assert.ok(isNeeded, `${name} calls ${row.name} ${row.alias}`);
  }
}

/** What is the same on both sides is agreed on, or the next change of one side would be taken for one of both. What was `left` waits. */
function checkBases({ name, trees }: ModelClient, left: ReadonlySet<EntryId>): void {
  for (const remote of trees.remoteRows.values()) {
    const { entry, parent, kind, content, target, exec, revision, placed } = remote;
    if (!trees.local(entry) || left.has(entry)) continue;
    const base = trees.synced(entry);
    const contentId = content?.contentId ?? null;
    const isAgreed =
      base?.presence === 'here' &&
      base.revision === revision &&
      base.placed === placed &&
      base.contentId === contentId &&
      base.name === remote.name;
    if (isAgreed && base.parent === parent && base.kind === kind && base.target === target && base.exec === exec)
      continue;
    const agreed = { entry, parent, name: remote.name, kind, contentId, target, exec, revision, placed };
    assert.deepEqual(base, { ...agreed, presence: 'here' }, `${name} knows what it agrees on`);
  }
}

const EMPTY = { reads: [], tree: [], conflicts: [], up: [], down: [], waiting: [] };

function isSame(left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): boolean {
  if (left.size !== right.size) return false;
  for (const [path, text] of left) if (right.get(path) !== text) return false;
  return true;
}

export function sorted(picture: ReadonlyMap<string, string>): [string, string][] {
  return [...picture].sort(([left], [right]) => (left < right ? -1 : 1));
}

function inTurn(): (clients: readonly ModelClient[]) => ModelClient {
  let turn = 0;
  return (clients) => clients[turn++ % clients.length]!;
}
