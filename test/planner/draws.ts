/** Chance that can be told again, and shrunk. */
import fc from 'fast-check';
import type { Draw } from './model-changes.ts';

export type Choices = { readonly seed: number; readonly first: readonly number[] };

const LONGEST = 4000;

export const choices = fc.record({ seed: fc.nat(), first: fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }) });

/** The same with room for all that a case drew, for shrinking it afterwards. */
const recorded = fc.record({ seed: fc.nat(), first: fc.array(fc.nat({ max: 0xffff }), { maxLength: LONGEST }) });

/** Goes on by the seed where the first choices are used up, so that shrinking may drop any of them. */
export function drawFrom({ seed, first }: Choices): Draw {
  let next = 0;
  const more = streamOf(seed, 0);
  return (count) => (first[next++] ?? more()) % count;
}

/** Sixteen bits at a time, from splitmix32: neighbouring cases have nothing in common. */
export function streamOf(seed: number, number: number): () => number {
  let state = scatter(scatter(seed | 0) + number);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return scatter(state) >>> 16;
  };
}

function scatter(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) | 0;
}

/** A draw that is written down while it is used. */
export function recording(next: () => number): { readonly draw: Draw; readonly first: number[] } {
  const first: number[] = [];
  const draw: Draw = (count) => {
    const drawn = next();
    first.push(drawn);
    return drawn % count;
  };
  return { draw, first };
}

/** The smallest case found that fails as well, as a report that tells how to see it again. */
export function shrink(first: readonly number[], run: (draw: Draw) => void): string {
  const property = fc.property(recorded, (chosen) => run(drawFrom(chosen)));
  const details = fc.check(property, {
    examples: [[{ seed: 0, first: first.slice(0, LONGEST) }]],
    numRuns: 1,
    endOnFailure: false,
    interruptAfterTimeLimit: 60_000,
  });
  return fc.defaultReportMessage(details) ?? 'it did not fail again';
}
