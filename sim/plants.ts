/**
 * Bugs that real systems shipped, planted one at a time into the sources as they are loaded: a simulator that does not catch them proves nothing. The
 * product's code knows nothing of this.
 */
export type Edit = {
  readonly file: string;
  /** This very text, which stands there exactly once. */
  readonly find: string;
  readonly put: string;
};

export type Plant = { readonly name: string; readonly edits: readonly Edit[] };

const one = (name: string, file: string, find: string, put: string): Plant => ({ name, edits: [{ file, find, put }] });

export const plants: readonly Plant[] = [
  {
    name: 'a file is replaced without a second look',
    edits: [
      {
        file: 'src/world/real/folder/place.ts',
        find: "if (now === null || now.kind !== 'file' || !isUnchanged(expect, now)) return false;",
        put: "if (now === null || now.kind !== 'file' || !isUnchanged(now, now)) return false;",
      },
      {
        file: 'src/world/real/folder/apply.ts',
        find: "return expect.kind === 'file' && isUnchanged(expect, now);",
        put: "return expect.kind === 'file';",
      },
    ],
  },
  {
    name: 'a file is removed without a second look',
    edits: [
      {
        file: 'src/world/real/folder/apply.ts',
        find: 'if (now === null || !isUnchanged(expect, now)) return null;',
        put: 'if (now === null) return null;',
      },
      {
        file: 'src/world/real/folder/take.ts',
        find: 'if (now === null || !isUnchanged(expect, now)) return false;',
        put: 'if (now === null) return false;',
      },
      {
        file: 'src/world/real/folder/take.ts',
        find: 'if (taken !== null && isUnchangedButMoved(expect, taken)) return true;',
        put: 'if (taken !== null) return true; isUnchangedButMoved(expect, expect); isUnchanged(expect, expect);',
      },
    ],
  },
  {
    name: 'a new file takes the place of what stands there',
    edits: [
      {
        file: 'src/world/real/folder/place.ts',
        find: 'const linked = linkedTo(fs, made.spot, to);',
        put: 'if (Math.max(0, 1) === 1) { fs.rename(made.spot.at, to.at); return true; } const linked = linkedTo(fs, made.spot, to);',
      },
      {
        file: 'src/world/real/folder/apply.ts',
        find: 'if (now === null || expect === null) return now === null && expect === null;',
        put: "if (now === null || expect === null) return expect === null && now?.kind !== 'folder';",
      },
    ],
  },
  one(
    'a node acknowledges before its disk does',
    'src/blocks/disk/segment-writer.ts',
    '      await active.file.sync();\n      this.#failures = 0;',
    '      this.#failures = 0;',
  ),
  one(
    'a device agrees before its disk does',
    'src/client/down.ts',
    'if (this.#agreed.length > 0) await folder.flush();',
    'void folder;',
  ),
  one(
    'what a power cut tore is believed',
    'src/client/recovery.ts',
    '  if (!ranOn) await compareUnflushed(device);\n  await checkPlaced(device, ranOn);\n',
    '  void checkPlaced; void compareUnflushed; void ranOn;\n',
  ),
  one(
    'what was parked is forgotten',
    'src/client/recovery.ts',
    '  await bringBackParked(device);\n',
    '  void bringBackParked;\n',
  ),
  {
    name: 'a folder that cannot be read counts as empty',
    edits: [
      {
        file: 'src/world/real/folder/list.ts',
        find: "if (directory === null) return { kind: 'missing' };\n    return list(grip, directory);\n  } catch (error) {\n    return failureOf(error, path);",
        put: "if (directory === null) return { kind: 'missing' };\n    return list(grip, directory);\n  } catch (error) {\n    void failureOf(error, path); return { kind: 'found', stat: grip.root.stat(), entries: [], unnameable: [] };",
      },
      {
        file: 'src/world/real/folder/list.ts',
        find: 'return entryAt(grip, spot.directory, spot.name);\n  } catch (error) {\n    return failureOf(error, path);',
        put: 'return entryAt(grip, spot.directory, spot.name);\n  } catch (error) {\n    return failureOf(error, path) && null;',
      },
    ],
  },
  {
    name: 'an unmounted folder counts as emptied',
    edits: [
      {
        file: 'src/client/engine.ts',
        find: "if (root.kind === 'found' && root.rootId === state.meta('root_id')) {",
        put: "if (root.kind === 'found') {",
      },
      {
        file: 'src/world/real/folder/root.ts',
        find: 'if (expected === null || readRootId(grip) === expected) return;',
        put: 'if (expected !== "") return;',
      },
      {
        file: 'src/client/engine.ts',
        find: 'if (known === mark) return;',
        put: 'if (known === mark || known !== null) return;',
      },
    ],
  },
  one(
    'a delete takes what came after its basis',
    'src/core/commit-delete.ts',
    'if (entry.seq <= basis) continue;',
    'if (basis >= 0) continue;',
  ),
  one(
    'an update does not ask what it was made from',
    'src/core/commit-operation.ts',
    "if (present.revision !== operation.base) return conflict('changed');",
    '',
  ),
  one(
    'a move does not look for circles',
    'src/core/commit-operation.ts',
    "if (tree.isWithin(operation.parent, present.entry)) return conflict('cycle');",
    '',
  ),
  one(
    'names need not differ',
    'src/core/commit.ts',
    "if (by !== null) answers[index] = { kind: 'name_taken', by };",
    '',
  ),
  one(
    'theirs replaces ours where both changed',
    'src/core/plan-entry.ts',
    "return base && ours === base.contentId ? 'down' : 'clash';",
    "return 'down';",
  ),
  one(
    'a delete beats an edit',
    'src/core/plan-fate.ts',
    "if (edited) return { kind: 'renew' };",
    "if (edited) return { kind: 'remove' };",
  ),
  one(
    'what became dirty meanwhile is taken for done',
    'src/client/dirty.ts',
    "'DELETE FROM dirty WHERE entry = ? AND touched = ?'",
    "'DELETE FROM dirty WHERE entry = ? AND ? >= 0'",
  ),
  one(
    'a rewritten history is taken for a short one',
    'src/client/engine.ts',
    "pulled.reason === 'epoch_changed' ? 'union' : 'expired'",
    "pulled.reason === 'epoch_changed' ? 'expired' : 'expired'",
  ),
  one(
    'the server confirms before it commits',
    'src/world/sim/sim-sql.ts',
    "if (durability === 'full' || this.#open >= LOG_TRANSACTIONS) this.writeBack();",
    'if (this.#open >= LOG_TRANSACTIONS) this.writeBack();',
  ),
  one(
    'a deferred entry that succeeded in part is left',
    'src/client/deferrals.ts',
    'if (this.#until.delete(entry)) this.#dirty.wake(entry);',
    'this.#until.delete(entry);',
  ),
  // What is planned too soon the server refuses, as long as it is not told that the rows between were seen.
  {
    name: 'plans do not wait for the rows between',
    edits: [
      { file: 'src/client/engine.ts', find: 'cursor.seq >= this.#commits.gateSeq &&', put: '' },
      {
        file: 'src/client/commits.ts',
        find: 'if (ours && !mustWait && trees.appliedSeq === before) trees.appliedSeq = head.seq;',
        put: 'trees.appliedSeq = Math.max(trees.appliedSeq, head.seq);',
      },
    ],
  },
  one(
    'a sent file is remembered whatever it is by now',
    'src/client/sent.ts',
    'if (device.trees.local(entry)?.stat === read.stat) device.trees.setLocalContent',
    'device.trees.setLocalContent',
  ),
  one(
    'what was placed in this very tick is believed',
    'src/client/stat-text.ts',
    "if (stat.kind !== 'file') return false;",
    "if (stat.kind !== 'folder') return false;",
  ),
  // Either tells an older state from the present one, where something leaves the disk and something else is sent.
  {
    name: 'a state put back within the minute goes on',
    edits: [
      {
        file: 'src/server/installs.ts',
        find: 'if (tick > stored.tick) await putInstall(writer, { ...stored, tick });',
        put: '',
      },
      {
        file: 'src/client/plan-run.ts',
        find: 'this.#attachment.expire();',
        put: 'void this.#attachment;',
      },
    ],
  },
  one(
    'a folder on a used inode is the one before it',
    'src/client/judgement.ts',
    "return known.kind === 'folder' ? statText(now) === known.stat : inodeText(now) === known.inode;",
    'return inodeText(now) === known.inode || statText(now) === known.stat;',
  ),
  one(
    'what left its place stays beside what took it',
    'src/client/judgement.ts',
    'if (there && there.stat.kind === row.kind && !this.#isAnothers(row, there)) continue;',
    'if (there && there.stat.kind === row.kind) continue;',
  ),
  one(
    'what comes back is agreed on where it was',
    'src/client/down.ts',
    'const isPlaced = local === null || (local.parent === remote.parent && local.name === remote.name);',
    'const isPlaced = before === null;',
  ),
  {
    name: 'a move is planned by an older layout',
    edits: [
      {
        file: 'src/server/copy-jobs.ts',
        find: 'if (layout !== nodes.layoutNumber(pool)) await nodes.reload();',
        put: '',
      },
      {
        file: 'src/server/copy-jobs.ts',
        find: "if (layout !== nodes.layoutNumber(pool)) return { kind: 'wait', ms: 0 };",
        put: '',
      },
    ],
  },
  one(
    'a holder is named before it has the copy',
    'src/server/copier.ts',
    '...(added.get(row.block) ?? [])]',
    '...tasks.flatMap((task) => (task.row.block === row.block ? task.targets.map((node) => node.stored.number) : []))]',
  ),
];
