import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifiedPlaces } from './verified-places.ts';

const HALF = 250_000;
const place = (index: number) => ({ segment: Math.floor(index / 100_000), offset: (index % 100_000) * 424 });

function addAll(places: VerifiedPlaces, from: number, upto: number): void {
  for (let index = from; index < upto; index++) places.add(place(index));
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
