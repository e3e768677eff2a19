/** One server and some devices, and what must be true of them when nobody changes anything any more. */
import assert from 'node:assert/strict';
import type { EntryId } from '#core/ids.ts';
import { CERTAIN, ModelClient, type Chance } from './model-client.ts';
import { ModelServer } from './model-server.ts';

const PLANS_MAX = 200;

export class ModelWorld {
  readonly server = new ModelServer();
  readonly clients: ModelClient[] = [];
  #ids = 0;

  constructor(clients: number) {
    for (let number = 0; number < clients; number++) this.link();
  }

  link(): ModelClient {
    const client = new ModelClient(`device${this.clients.length + 1}`, this.server, () => this.#newId());
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
    const scattered = Math.imul(++this.#ids, 0x9e3779b1) >>> 0;
    return `${scattered.toString(16).padStart(8, '0')}${this.#ids.toString(16).padStart(24, '0')}` as EntryId;
  }

  /** Steps every device in turn, which one when by `pick`, until none has anything to do. */
  converge(chance: Chance = CERTAIN, pick: (clients: readonly ModelClient[]) => ModelClient = inTurn()): void {
    for (const client of this.clients) client.plans = 0;
    for (let steps = 0; !this.#isQuiet(); steps++) {
      const client = pick(this.clients);
      client.pull();
      client.step(steps < PLANS_MAX / 2 ? chance : CERTAIN);
      assert.ok(client.plans < PLANS_MAX, `no end: ${JSON.stringify(client.makePlan())}`);
    }
    this.check();
  }

  #isQuiet(): boolean {
    return this.clients.every((client) => client.isAtHead && client.dirty.size === 0);
  }

  check(): void {
    for (const client of this.clients) {
      const picture = this.server.picture((entry) => client.isWanted(entry));
      assert.deepEqual(sorted(client.picture()), sorted(picture), `${client.name} holds what the server holds`);
      client.dirtyAll();
      const made = client.makePlan();
      client.dirty.clear();
      const { reads, tree, conflicts, up, down, waiting } = made;
      assert.deepEqual({ reads, tree, conflicts, up, down, waiting }, EMPTY, `${client.name} has nothing left to do`);
    }
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

const EMPTY = { reads: [], tree: [], conflicts: [], up: [], down: [], waiting: [] };

export function sorted(picture: ReadonlyMap<string, string>): [string, string][] {
  return [...picture].sort(([left], [right]) => (left < right ? -1 : 1));
}

function inTurn(): (clients: readonly ModelClient[]) => ModelClient {
  let turn = 0;
  return (clients) => clients[turn++ % clients.length]!;
}
