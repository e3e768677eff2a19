import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fateOf, type Condemned, type Found } from './collection.ts';

const live: Found = { live: true, wantedHere: true, wholeElsewhere: false };
const dead: Found = { live: false, wantedHere: false, wholeElsewhere: false };
const surplus: Found = { live: true, wantedHere: false, wholeElsewhere: true };
const at = (mark: number, nowMs: number, rooted = true) => ({ mark, rooted, nowMs, graceMs: 100 });

test('condemned by one mark, deleted by a later one, and not before its time', () => {
  for (const found of [dead, surplus]) {
    assert.equal(fateOf(found, null, at(1, 0)), 'condemn');
    const condemned = { mark: 1, atMs: 0 };
    assert.equal(fateOf(found, condemned, at(1, 1000)), 'keep', 'the same mark, or one that had begun');
    assert.equal(fateOf(found, condemned, at(2, 99)), 'keep');
    assert.equal(fateOf(found, condemned, at(2, 100, false)), 'keep', 'the newest root may still lead to it');
    assert.equal(fateOf(found, condemned, at(2, 100)), 'delete');
    assert.equal(fateOf(found, { mark: 1, atMs: 500 }, at(2, 100)), 'condemn', 'the clock went back');
  }
  assert.equal(fateOf(live, null, at(1, 0)), 'keep');
  assert.equal(fateOf(live, { mark: 1, atMs: 0 }, at(2, 1000)), 'spare');
  const onlyHistory = { live: true, wantedHere: false, wholeElsewhere: false };
  assert.equal(fateOf(onlyHistory, { mark: 1, atMs: 0 }, at(2, 1000)), 'spare', 'an old revision stays where it is');
});

const found = fc.record({ live: fc.boolean(), wantedHere: fc.boolean(), wholeElsewhere: fc.boolean() });
const condemned = fc.option(fc.record<Condemned>({ mark: fc.nat(5), atMs: fc.nat(200) }), { nil: null });

test('property: nothing goes that anything wants here, or that is the only whole row of what is live', () => {
  fc.assert(
    fc.property(found, condemned, fc.nat(5), fc.nat(400), fc.boolean(), (of, before, mark, nowMs, rooted) => {
      const fate = fateOf(of, before, at(mark, nowMs, rooted));
      if (fate !== 'delete') return;
      assert.ok(!of.live || (!of.wantedHere && of.wholeElsewhere));
      assert.ok(rooted && before && before.mark < mark && nowMs - before.atMs >= 100);
    }),
  );
});
