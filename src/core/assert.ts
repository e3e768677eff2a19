/** A defect of Holdfast: never caused by input, a peer or a disk. The process stops and starts clean. */
export class Defect extends Error {
  override readonly name = 'Defect';
}

/** Kept in production. `why` says which invariant does not hold. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new Defect(why);
}

/** The value, where the code around it proves that it is there. */
export function must<T>(value: T | null | undefined, why: string): T {
  if (value === null || value === undefined) throw new Defect(why);
  return value;
}

/** Closes a switch over a union: adding a member makes the call a type error. */
export function unreachable(value: never): never {
  throw new Defect(`unexpected member of a union: ${JSON.stringify(value)}`);
}
