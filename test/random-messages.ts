/** Requests of the right shape with values by chance, made from a verb's own schema: what somebody sends who has read the protocol and means no good. */
import { z } from 'zod';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { AnyVerb } from './verbs.ts';

type Schema = { readonly [key: string]: unknown };

const TEXTS = [
  '',
  '.',
  '..',
  'a/b',
  'x',
  'a.txt',
  'CON',
  'a\0b',
  'é',
  '\ud800',
  'y'.repeat(255),
  'z'.repeat(1000),
  '../../etc',
  '%2e%2e',
];
const COUNTS = [0, 1, 2, 3, 100, 2 ** 31, 2 ** 32, 2 ** 53 - 1];

export class RandomMessages {
  readonly #random: SimRandom;
  /** Values that mean something to whoever is asked; those that fit a schema are used most of the time. */
  readonly #known: readonly unknown[];

  /** The same seed gives the same messages. */
  constructor(seed: string, known: readonly unknown[]) {
    this.#random = new SimRandom(seed);
    this.#known = known;
  }

  of(verb: AnyVerb): unknown {
    return this.#value(z.toJSONSchema(verb.request, { io: 'input', unrepresentable: 'any' }) as Schema);
  }

  pick<T>(from: readonly T[]): T {
    return this.#random.pick(from);
  }

  chance(ofTen: number): boolean {
    return this.#random.chance(ofTen / 10);
  }

  #value(schema: Schema): unknown {
    if ('const' in schema) return schema['const'];
    if (Array.isArray(schema['enum'])) return this.pick(schema['enum']);
    const options = (schema['anyOf'] ?? schema['oneOf']) as readonly Schema[] | undefined;
    if (options) return this.#value(this.pick(options));
    switch (schema['type']) {
      case 'object':
        return this.#object(schema);
      case 'array':
        return this.#array(schema);
      case 'string':
        return this.#text(schema);
      case 'integer':
      case 'number':
        return this.#number(schema);
      case 'boolean':
        return this.chance(5);
      default:
        return null;
    }
  }

  #object(schema: Schema): unknown {
    const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>);
    const required = (schema['required'] ?? []) as readonly string[];
    const kept = properties.filter(([name]) => required.includes(name) || this.chance(5));
    return Object.fromEntries(kept.map(([name, of]) => [name, this.#value(of)]));
  }

  #array(schema: Schema): unknown {
    const least = Number(schema['minItems'] ?? 0);
    const most = Math.min(Number(schema['maxItems'] ?? 4), least + 3);
    const length = least + this.#random.below(most - least + 1);
    return Array.from({ length }, () => this.#value(schema['items'] as Schema));
  }

  #text(schema: Schema): unknown {
    const pattern = new RegExp(String(schema['pattern'] ?? ''), 'u');
    const fits = (text: unknown): text is string =>
      typeof text === 'string' &&
      pattern.test(text) &&
      text.length >= Number(schema['minLength'] ?? 0) &&
      text.length <= Number(schema['maxLength'] ?? Number.MAX_SAFE_INTEGER);
    const known = this.#known.filter(fits);
    if (known.length > 0 && this.chance(8)) return this.pick(known);
    const hex = (digits: number) => Array.from({ length: digits }, () => this.#random.below(16).toString(16)).join('');
    const made = [
      hex(16),
      hex(32),
      hex(64),
      'http://127.0.0.1:9',
      'https://x:1',
      'others',
      'others*3',
      ...TEXTS,
    ].filter(fits);
    return made.length > 0 ? this.pick(made) : this.pick(TEXTS);
  }

  #number(schema: Schema): unknown {
    const least = Number(schema['minimum'] ?? 0);
    const most = Number(schema['maximum'] ?? Number.MAX_SAFE_INTEGER);
    const numbers = [least, most, ...COUNTS, ...this.#known.filter((one) => typeof one === 'number')];
    return this.pick(numbers.filter((one) => one >= least && one <= most));
  }
}
