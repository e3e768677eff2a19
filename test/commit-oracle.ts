/**
 * What docs/protocol.md says of a commit, over a whole space in a map: nothing is loaded, remembered or undone here. Answers and rows of
 * `core/commit.ts` must be those that come out of this.
 */
import assert from 'node:assert/strict';
import type { CommitRow, TreeAnswer, TreeOperation } from '#core/commit.ts';
import type { StoredEntry } from '#core/commit-tree.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type DeviceId, type EntryId } from '#core/ids.ts';

type Rows = Map<EntryId, StoredEntry>;
export type Refused = { readonly kind: 'need_blocks' };
type Answer = TreeAnswer | Refused;
type Asked = {
  readonly device: DeviceId;
  readonly headSeq: number;
  readonly groups: readonly (readonly TreeOperation[])[];
  readonly refusals: ReadonlyMap<number, Refused>;
  readonly answers: readonly Answer[];
};
type Told = { readonly answers: readonly Answer[]; readonly entries: Rows; readonly rowCount: number };

/** `rows`: those that were made, which alone say in which order the parts of a delete went. */
export function judgeByTheBook(entries: Rows, asked: Asked, rows: readonly CommitRow[]): Told {
  const answers: Answer[] = [];
  let present: Rows = new Map(entries);
  let count = 0;
  for (const group of asked.groups) {
    const book = new Book(new Map(present), entries, asked, asked.headSeq + count, rows.slice(count));
    const judged = group.map((operation, index): Answer => {
      const before = book.rowCount;
      const answer = book.judge(operation);
      const refused = asked.refusals.get(answers.length + index);
      return answer.kind === 'applied' && refused && book.rowCount > before ? refused : answer;
    });
    group.forEach((operation, index) => {
      const takers = judged[index]!.kind === 'applied' ? book.takersOf(operation) : [];
      const told = asked.answers[answers.length + index];
      // Several may want one name: the answer tells one of them.
      const by = takers.find((taker) => told?.kind === 'name_taken' && told.by === taker) ?? takers[0];
      if (by !== undefined) judged[index] = { kind: 'name_taken', by };
    });
    if (judged.every(({ kind }) => kind === 'applied')) {
      present = book.entries;
      count += book.rowCount;
      answers.push(...judged);
    } else answers.push(...judged.map((one): Answer => (one.kind === 'applied' ? { kind: 'group_failed' } : one)));
  }
  return { answers, entries: present, rowCount: count };
}

const invalid = (code: 'invalid_name' | 'invalid_field' | 'too_large'): Answer => ({
  kind: 'invalid',
  code,
  detail: '',
});

class Book {
  readonly entries: Rows;
  rowCount = 0;
  readonly #asked: Asked;
  /** As it was before the request, and the lowest basis in that. */
  readonly #before: Rows;
  readonly #basis: number;
  readonly #headSeq: number;
  readonly #rows: readonly CommitRow[];

  constructor(entries: Rows, before: Rows, asked: Asked, headSeq: number, rows: readonly CommitRow[]) {
    this.entries = entries;
    this.#before = before;
    const bases = asked.groups.flat().flatMap((one) => (one.kind === 'delete' ? [one.basis] : []));
    this.#basis = Math.min(asked.headSeq, ...bases);
    this.#asked = asked;
    this.#headSeq = headSeq;
    this.#rows = rows;
  }

  judge(operation: TreeOperation): Answer {
    const isFixed = operation.entry === ROOT_ENTRY || operation.entry === TRASH_ENTRY;
    if (isFixed) return invalid('invalid_field');
    if ('name' in operation && !isName(operation.name)) return invalid('invalid_name');
    const now = this.entries.get(operation.entry);
    if (operation.kind === 'create') return this.#create(operation, now);
    if (operation.kind === 'delete') return this.#delete(operation, now);
    if (operation.kind === 'update') return this.#update(operation, now);
    return this.#move(operation, now);
  }

  takersOf(operation: TreeOperation): readonly EntryId[] {
    if (operation.kind !== 'create' && operation.kind !== 'move') return [];
    const now = this.entries.get(operation.entry)!;
    if (now.parent === TRASH_ENTRY) return [];
    return [...this.entries.values()]
      .filter((other) => other.entry !== now.entry && has(other, { parent: now.parent, name: now.name }))
      .map(({ entry }) => entry);
  }

  #create({ entry, parent, name, state }: Extract<TreeOperation, { kind: 'create' }>, now?: StoredEntry): Answer {
    const content = state.kind === 'file' ? state.content : null;
    const target = state.kind === 'symlink' ? state.target : null;
    const mtimeUs = state.kind === 'file' ? state.mtimeUs : 0;
    const exec = state.kind === 'file' && state.exec;
    const wished = { kind: state.kind, parent, name, target, mtimeUs, exec };
    if (now) {
      const isSame = this.#isLive(entry) && has(now, wished) && now.content?.manifestId === content?.manifestId;
      return isSame ? applied(now) : { kind: 'conflict', why: 'exists' };
    }
    if (!this.#isLiveFolder(parent)) return { kind: 'conflict', why: 'parent_gone' };
    const by = this.#asked.device;
    const seq = this.#next();
    const made = { entry, content, trashedFrom: null, revision: seq, placed: seq, seq, revisedBy: by, placedBy: by };
    return this.#put({ ...made, ...wished });
  }

  #update(operation: Extract<TreeOperation, { kind: 'update' }>, now?: StoredEntry): Answer {
    if (!now || !this.#isLive(operation.entry)) return { kind: 'conflict', why: 'gone' };
    const { base, content, target, mtimeUs, exec } = operation;
    const isAboutLink = target !== null && content === null;
    if (now.kind === 'folder' || (now.kind === 'symlink') !== isAboutLink || (now.kind === 'file' && target !== null))
      return invalid('invalid_field');
    const wished = isAboutLink ? { target } : { content: content ?? now.content, mtimeUs, exec };
    const { content: bytes, ...rest } = { content: now.content, ...wished };
    if (has(now, rest) && now.content?.manifestId === bytes?.manifestId) return applied(now);
    if (now.revision !== base) return { kind: 'conflict', why: 'changed' };
    const seq = this.#next();
    return this.#put({ ...now, ...wished, revision: seq, seq, revisedBy: this.#asked.device });
  }

  #move({ entry, base, parent, name }: Extract<TreeOperation, { kind: 'move' }>, now?: StoredEntry): Answer {
    if (!now) return { kind: 'conflict', why: 'gone' };
    if (this.#isLive(entry) && has(now, { parent, name })) return applied(now);
    if (now.placed !== base) return { kind: 'conflict', why: this.#isLive(entry) ? 'changed' : 'gone' };
    if (this.#way(parent).includes(entry)) return { kind: 'conflict', why: 'cycle' };
    if (!this.#isLiveFolder(parent)) return { kind: 'conflict', why: 'parent_gone' };
    const seq = this.#next();
    return this.#put({ ...now, parent, name, placed: seq, seq, trashedFrom: null, placedBy: this.#asked.device });
  }

  /** Out of all that lies below, what nobody else has to do with goes; of that, what lies below no other such thing makes a row. */
  #delete({ entry, basis }: Extract<TreeOperation, { kind: 'delete' }>, now?: StoredEntry): Answer {
    if (basis > this.#asked.headSeq) return invalid('invalid_field');
    if (!now) return { kind: 'conflict', why: 'gone' };
    if (!this.#isLive(entry)) return applied(now);
    // What this very request did says nothing of what its device did not know.
    const isNews = ({ entry: id, seq }: StoredEntry) => seq > basis && (this.#before.get(id)?.seq ?? 0) > this.#basis;
    const within = [...this.entries.values()].filter((one) => this.#way(one.entry).includes(entry));
    const upTo = (one: StoredEntry) => {
      const way = this.#way(one.entry);
      return way.slice(0, way.indexOf(entry) + 1);
    };
    const spared = within.filter(isNews);
    const brought = (id: EntryId) => isNews(this.entries.get(id)!) && this.entries.get(id)!.placed > basis;
    const stays = new Set(spared.flatMap(upTo));
    for (const one of within) if (upTo(one).some(brought)) stays.add(one.entry);
    const goes = within.filter((one) => !stays.has(one.entry));
    const tops = new Set(goes.filter((one) => one.entry === entry || stays.has(one.parent)).map((one) => one.entry));
    if (tops.size === 0) return { kind: 'conflict', why: 'changed' };
    for (const top of this.#orderOf(tops)) {
      const seq = this.#next();
      const trashed = { parent: TRASH_ENTRY, trashedFrom: this.entries.get(top)!.parent, placed: seq, seq };
      this.#put({ ...this.entries.get(top)!, ...trashed, placedBy: this.#asked.device });
    }
    return { kind: 'applied', seq: this.#headSeq + this.rowCount, survivors: spared.length };
  }

  #orderOf(tops: ReadonlySet<EntryId>): readonly EntryId[] {
    const told = this.#rows.slice(this.rowCount, this.rowCount + tops.size).map(({ entry }) => entry.entry);
    return told.length === tops.size && told.every((one) => tops.has(one)) ? told : [...tops];
  }

  #next(): number {
    return this.#headSeq + this.rowCount + 1;
  }

  #put(row: StoredEntry): Answer {
    this.entries.set(row.entry, row);
    this.rowCount++;
    return applied(row);
  }

  /** Itself and all above it. */
  #way(entry: EntryId): readonly EntryId[] {
    const above = this.entries.get(entry)?.parent;
    return above === undefined ? [entry] : [entry, ...this.#way(above)];
  }

  #isLive(entry: EntryId): boolean {
    return this.#way(entry).at(-1) === ROOT_ENTRY;
  }

  #isLiveFolder(entry: EntryId): boolean {
    return this.#isLive(entry) && (entry === ROOT_ENTRY || this.entries.get(entry)!.kind === 'folder');
  }
}

const applied = ({ seq }: StoredEntry): Answer => ({ kind: 'applied', seq, survivors: 0 });

function has(row: StoredEntry, wished: Partial<StoredEntry>): boolean {
  return Object.entries(wished).every(([key, value]) => row[key as keyof StoredEntry] === value);
}

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/');
}

/** Answers without the sentences in them. */
export function inWords(answers: readonly (TreeAnswer | Refused)[]): readonly object[] {
  return answers.map((answer) => (answer.kind === 'invalid' ? { ...answer, detail: '' } : answer));
}

export function mustBeByTheBook(
  entries: Rows,
  request: Omit<Asked, 'answers'>,
  done: { readonly answers: readonly (TreeAnswer | Refused)[]; readonly rows: readonly CommitRow[] },
  after: Rows,
): void {
  const book = judgeByTheBook(entries, { ...request, answers: done.answers }, done.rows);
  assert.deepEqual(inWords(done.answers), inWords(book.answers));
  assert.equal(done.rows.length, book.rowCount);
  assert.deepEqual(after, book.entries);
}
