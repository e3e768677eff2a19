/** Stands for `node:test` in the suite: tests are kept, to be run one after the other until one throws. */
export type Queued = { readonly name: string; readonly run: () => unknown };

export const queued: Queued[] = [];

export function test(name: string, run: () => unknown): void {
  queued.push({ name, run });
}

// eslint-disable-next-line import/no-default-export -- `node:test` has one.
export default test;
