/** Names in `.holdfast/tmp` and `.holdfast/trash`. What a name begins with says what may be done with it after a crash. */
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';

/** Copies that were being made: worth nothing after a crash. */
const MADE = 'made-';
/** Things of the user's on their way from one name to another. */
const TAKEN = 'taken-';
/** Things of the user's that wait for their new name. */
const PARKED = 'parked-';
/** Large files that arrive. */
const STAGED = 'staged-';
const WORD = /^[A-Za-z0-9_-]{1,128}$/;

/** Makes names that nobody else makes. */
export class OwnNames {
  readonly #instance: string;
  readonly #nowMs: () => number;
  #count = 0;

  /** `instance`: no other process has it that works, or ever worked, on the folder. */
  constructor(instance: string, nowMs: () => number) {
    this.#instance = instance;
    this.#nowMs = nowMs;
  }

  made(): string {
    return MADE + this.#unique();
  }

  taken(): string {
    return TAKEN + this.#unique();
  }

  /** A free name in the trash that shows the old one as far as 255 bytes allow. */
  trash(name: string): string {
    const front = `${this.#unique()} `;
    return front + cut(name, limits.nameBytesMax - front.length);
  }

  /** What today's directory in the trash is called. */
  today(): string {
    return new Date(this.#nowMs()).toISOString().slice(0, 10);
  }

  #unique(): string {
    this.#count += 1;
    return `${this.#instance}-${this.#count}`;
  }
}

export function parkedName(slot: string): string {
  return PARKED + checked(slot);
}

export function stagedName(id: string): string {
  return STAGED + checked(id);
}

/** What becomes of a name that a crash left in `tmp`. `user`: it may be the only name of bytes of the user's. */
export function kindOfTmpName(name: string, keepStaged: ReadonlySet<string>): 'keep' | 'rubbish' | 'user' {
  if (name.startsWith(STAGED)) return keepStaged.has(name.slice(STAGED.length)) ? 'keep' : 'rubbish';
  if (name.startsWith(PARKED)) return keepStaged.has(name.slice(PARKED.length)) ? 'keep' : 'user';
  return name.startsWith(MADE) ? 'rubbish' : 'user';
}

function cut(name: string, bytesMax: number): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= bytesMax) return name;
  // A cut in the middle of a character would leave bytes that are no UTF-8.
  let end = bytesMax;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

function checked(word: string): string {
  if (WORD.test(word)) return word;
  throw new HoldfastError('invalid_field', 'an id of a staged or parked file holds letters, digits, - and _ only');
}
