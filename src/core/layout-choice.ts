/**
 * Who keeps a partition, given how long each node took in the race for it: round by round one node of each domain, in order of time. A
 * node that has its share and a tenth more is passed over, and so is a domain, where another may be chosen in its place (bounded loads:
 * Mirrokni, Thorup and Zadimoghaddam 2018). Chance makes that rare among few nodes, and keeps many from being filled very unlike.
 */
import { must } from './assert.ts';
import { wantedShares, type Racer } from './layout-shares.ts';

type Placed = Racer & { readonly host?: string };

/** Times the share. */
const FULL = 1.1;

export class Choice {
  readonly #copies: number;
  readonly #width: number;
  readonly #domains: readonly number[];
  readonly #hosts: readonly number[];
  /** Rounds in which every domain gives a node. What it gives beyond them is limited. */
  readonly #turns: number;
  /** Partitions that a node may yet take; and a domain, in the rounds after its turns. */
  readonly #nodeRoom: Float64Array;
  readonly #domainRoom: Float64Array;

  /** `width`: how many are chosen; the first `copies` of them keep the partition, the others stand by. */
  constructor(nodes: readonly Placed[], copies: number, width: number, partitions: number) {
    this.#copies = Math.min(copies, nodes.length);
    this.#width = width;
    this.#domains = numbered(nodes.map(({ domain }) => domain));
    this.#hosts = numbered(nodes.map(({ domain, host }) => host ?? domain));
    const shares = wantedShares(nodes, this.#copies);
    const byDomain = new Float64Array(1 + Math.max(...this.#domains));
    shares.forEach((share, position) => {
      const domain = this.#domainOf(position);
      byDomain[domain] = (byDomain[domain] as number) + share;
    });
    this.#turns = Math.floor(this.#copies / byDomain.length);
    const roomFor = (share: number) => Math.ceil(FULL * Math.max(0, share) * partitions - 1e-6);
    this.#nodeRoom = shares.map(roomFor);
    this.#domainRoom = byDomain.map((share) => roomFor(share - this.#turns));
  }

  #domainOf(position: number): number {
    return must(this.#domains[position], 'each node has a domain');
  }

  /** Best first: positions. Uses `times` up. */
  next(times: Float64Array): readonly number[] {
    const chosen: number[] = [];
    const used = new Set<number>();
    const usedHosts = new Set<number>();
    for (let round = 0; chosen.length < this.#width; ) {
      // Of domains that give another one, hosts that gave none come first.
      const apart = round === 0 ? -1 : this.#first(times, used, usedHosts, round);
      const position = apart >= 0 ? apart : this.#first(times, used, null, round);
      if (position < 0) {
        used.clear();
        round++;
        continue;
      }
      const domain = this.#domainOf(position);
      used.add(domain);
      usedHosts.add(must(this.#hosts[position], 'each node has a host'));
      times[position] = Number.POSITIVE_INFINITY;
      if (chosen.push(position) > this.#copies) continue;
      this.#nodeRoom[position] = (this.#nodeRoom[position] as number) - 1;
      if (round >= this.#turns) this.#domainRoom[domain] = (this.#domainRoom[domain] as number) - 1;
    }
    return chosen;
  }

  /** The quickest of those that may be chosen; a full one only where there is no other. -1: none. */
  #first(times: Float64Array, used: ReadonlySet<number>, usedHosts: ReadonlySet<number> | null, round: number): number {
    let [open, full] = [-1, -1];
    let [openTime, fullTime] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    const beyondTurns = round >= this.#turns;
    for (let position = 0; position < times.length; position++) {
      const time = times[position] as number;
      if (time >= openTime) continue;
      const domain = this.#domains[position] as number;
      if (used.has(domain) || usedHosts?.has(this.#hosts[position] as number)) continue;
      if ((this.#nodeRoom[position] as number) > 0 && !(beyondTurns && (this.#domainRoom[domain] as number) <= 0)) {
        open = position;
        openTime = time;
      } else if (time < fullTime) {
        full = position;
        fullTime = time;
      }
    }
    return open >= 0 ? open : full;
  }
}

function numbered(names: readonly string[]): readonly number[] {
  const numbers = new Map<string, number>();
  for (const name of names) if (!numbers.has(name)) numbers.set(name, numbers.size);
  return names.map((name) => must(numbers.get(name), 'was numbered'));
}
