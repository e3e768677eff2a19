/** Comparisons of one entry: each case with what a person would lose by another answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from './entry.ts';
import type { ContentId, EntryId, ManifestId } from './ids.ts';
import { contentMove, editedSince, isBehind, leftBehind, mayAgree, unchangedSince } from './plan-entry.ts';
import type { LocalEntry, SyncedEntry } from './plan.ts';

const id = '1'.padStart(32, '0') as EntryId;
const [here, there] = ['a', 'b'].map((digit) => digit.repeat(32) as EntryId) as [EntryId, EntryId];
const bytes = (of: string) => of.padStart(64, '0') as ContentId;

function remote(change: Partial<Entry> & { readonly bytes?: string } = {}): Entry {
  const { bytes: of = 'aa', ...rest } = change;
  const content = { contentId: bytes(of), manifestId: of.padStart(64, 'f') as ManifestId, size: 3 };
  const common = { entry: id, parent: here, name: 'n', kind: 'file', revision: 4, placed: 2, seq: 4 } as const;
  const state = { content, target: null, mtimeUs: 1, exec: false, trashedFrom: null };
  return { ...common, ...state, ...rest };
}

function synced(change: Partial<SyncedEntry> = {}): SyncedEntry {
  const place = { entry: id, parent: here, name: 'n', kind: 'file' } as const;
  const state = { contentId: bytes('aa'), target: null, exec: false };
  return { ...place, ...state, revision: 4, placed: 2, presence: 'here', ...change } as SyncedEntry;
}

function local(change: Partial<LocalEntry> = {}): LocalEntry {
  const place = { entry: id, parent: here, name: 'n', alias: null, kind: 'file' } as const;
  return { ...place, contentId: bytes('aa'), target: null, exec: false, parked: false, ...change };
}

const link = { kind: 'symlink', content: null, target: 'to' } as const;
const ofLink = { kind: 'symlink', contentId: null, target: 'to' } as const;

test('contents: who changed it sends it or gets it; unread bytes are read before anything is concluded', () => {
  const unread = local({ contentId: null });
  assert.equal(contentMove(remote(), local(), synced()), 'none');
  assert.equal(contentMove(remote(), local({ contentId: bytes('bb') }), synced()), 'up');
  assert.equal(contentMove(remote(), unread, synced()), 'up', 'something was written: it is sent when it was read');
  assert.equal(contentMove(remote(), unread, synced({ contentId: null })), 'read');
  assert.equal(contentMove(remote({ bytes: 'bb' }), local(), synced()), 'down');
  assert.equal(contentMove(remote({ bytes: 'bb' }), unread, synced()), 'read');
  assert.equal(contentMove(remote({ bytes: 'bb' }), local({ contentId: bytes('cc') }), synced()), 'clash');
  // The same on both sides, however it came to be, is no conflict; and nothing at all where the exec bit is the same as well.
  assert.equal(contentMove(remote({ bytes: 'bb' }), local({ contentId: bytes('bb') }), synced()), 'none');
  assert.equal(contentMove(remote({ bytes: 'bb', exec: true }), local({ contentId: bytes('bb') }), synced()), 'down');
  assert.equal(contentMove(remote(), local(), null), 'none');
  assert.equal(contentMove(remote({ bytes: 'bb' }), local(), null), 'clash');
  assert.equal(contentMove(remote({ exec: true }), local(), synced()), 'down');
  assert.equal(contentMove(remote(), local({ exec: true }), synced()), 'up');
});

test('a file of the server without bytes is compared like any other', () => {
  assert.equal(contentMove(remote({ content: null }), local({ contentId: bytes('bb') }), synced()), 'clash');
});

test('an edit is told by kind, target, exec bit or bytes; unread bytes tell nothing yet', () => {
  assert.equal(editedSince(synced(), local()), false);
  assert.equal(editedSince(synced(), local({ contentId: bytes('bb') })), true);
  assert.equal(editedSince(synced(), local({ contentId: null })), null);
  assert.equal(editedSince(synced(), local({ exec: true })), true);
  assert.equal(editedSince(synced(), local({ exec: true, contentId: null })), true, 'whatever its bytes are');
  assert.equal(editedSince(synced(ofLink), local(ofLink)), false);
  assert.equal(editedSince(synced(ofLink), local({ ...ofLink, target: 'elsewhere' })), true);
  assert.equal(editedSince(synced(ofLink), local()), true, 'a file where a link was');
  const folder = { kind: 'folder', contentId: null } as const;
  assert.equal(editedSince(synced(folder), local(folder)), false);
  assert.equal(editedSince(synced(folder), local({ kind: 'symlink', contentId: null })), true);
});

test('what another device changed is told by each of place, kind, bytes, target and exec bit', () => {
  assert.ok(unchangedSince(synced(), remote()));
  assert.ok(unchangedSince(synced(ofLink), remote(link)));
  const changes: [SyncedEntry, Entry][] = [
    [synced(), remote({ parent: there })],
    [synced(), remote({ name: 'other' })],
    [synced(), remote({ bytes: 'bb' })],
    [synced(), remote({ exec: true })],
    [synced(ofLink), remote({ ...link, target: 'elsewhere' })],
    [synced({ contentId: null }), remote({ content: null, kind: 'folder' })],
  ];
  for (const [base, now] of changes) assert.ok(!unchangedSince(base, now), JSON.stringify(now));
});

test('a base is behind where anything differs, be it the number of a revision alone', () => {
  assert.ok(!isBehind(synced(), remote()));
  assert.ok(isBehind(synced(), remote({ revision: 5 })));
  assert.ok(isBehind(synced(), remote({ placed: 3 })));
  assert.ok(isBehind(synced(), remote({ name: 'other' })));
  assert.ok(isBehind(synced(), remote({ bytes: 'bb' })));
});

test('both sides may agree where the disk is equal, or remote left alone what this device had; never on what is parked', () => {
  assert.ok(mayAgree(remote(), local(), null), 'equal, without ever having agreed before');
  assert.ok(mayAgree(remote(), local({ contentId: bytes('cc') }), synced()), 'an edit made here over what both had');
  assert.ok(mayAgree(remote(), local({ name: 'moved' }), synced()), 'a move made here');
  assert.ok(mayAgree(remote({ name: 'moved' }), local({ name: 'moved' }), synced()), 'moved alike on both sides');
  const never: [Entry, LocalEntry, SyncedEntry | null][] = [
    [remote(), local({ parked: true }), synced()],
    [remote(), local({ name: 'moved' }), null],
    [remote({ name: 'moved' }), local(), synced()],
    [remote({ bytes: 'bb' }), local(), synced()],
    [remote({ bytes: 'bb' }), local(), null],
    [remote({ exec: true }), local(), null],
    [remote(link), local({ ...ofLink, target: 'elsewhere' }), null],
    [remote({ kind: 'folder', content: null }), local({ contentId: null }), null],
    [remote({ bytes: 'bb' }), local({ contentId: bytes('cc') }), synced()],
  ];
  for (const [now, disk, base] of never) assert.ok(!mayAgree(now, disk, base), JSON.stringify([now, disk, base]));
});

test('after a plan something is left behind where an aspect differs that it does not settle', () => {
  const both = { place: true, state: true };
  const [place, state] = [
    { place: true, state: false },
    { place: false, state: true },
  ];
  const none = { place: false, state: false };
  // Without a base whatever is settled makes one that lacks the rest.
  assert.deepEqual(
    [both, place, state, none].map((of) => leftBehind(remote(), null, of)),
    [true, true, true, false],
  );
  const cases: [Partial<Entry> & { bytes?: string }, boolean, boolean][] = [
    [{}, false, false],
    [{ name: 'other' }, true, false],
    [{ parent: there }, true, false],
    [{ placed: 3 }, true, false],
    [{ bytes: 'bb' }, false, true],
    [{ exec: true }, false, true],
    [{ revision: 5 }, false, true],
    [{ name: 'other', bytes: 'bb' }, true, true],
  ];
  for (const [change, placeBehind, stateBehind] of cases) {
    const left = (settles: typeof both) => leftBehind(remote(change), synced(), settles);
    const said = JSON.stringify(change);
    assert.equal(left(both), false, said);
    assert.equal(left(place), stateBehind, said);
    assert.equal(left(state), placeBehind, said);
    assert.equal(left(none), false, said);
  }
});
