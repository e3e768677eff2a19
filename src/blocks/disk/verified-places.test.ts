import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifiedPlaces } from './verified-places.ts';

const HALF = 250_000;
const place = (index: number) => ({ segment: Math.floor(index / 100_000), offset: (index % 100_000) * 424 });

function addAll(places: VerifiedPlaces, from: number, upto: number): number {
  const begun = performance.now();
  for (let index = from; index < upto; index++) places.add(place(index));
  return performance.now() - begun;
}

test('the newest places are remembered, the oldest are forgotten', () => {
  const places = new VerifiedPlaces();
  addAll(places, 0, 3 * HALF);
  for (let index = 2 * HALF; index < 3 * HALF; index++) assert.ok(places.has(place(index)));
  assert.equal(places.has(place(0)), false);
});

test('a place that was taken out is not remembered, however long ago it came in', () => {
  const places = new VerifiedPlaces();
  addAll(places, 0, HALF + 1);
  for (const index of [0, HALF]) {
    assert.ok(places.has(place(index)));
    places.remove(place(index));
    assert.equal(places.has(place(index)), false);
  }
});

test('to forget costs no more than to remember, on a node that reads a million blocks', () => {
  const places = new VerifiedPlaces();
  const remembering = addAll(places, 0, 2 * HALF);
  const forgetting = addAll(places, 2 * HALF, 4 * HALF);
  // A walk over all that was forgotten before is some three hundred times as much.
  assert.ok(forgetting < 30 * remembering, `${forgetting} ms, where ${remembering} ms were enough before`);
});
