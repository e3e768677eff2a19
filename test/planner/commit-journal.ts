/** The journal that the server keeps, with every commit decided by `core/commit.ts`. */
import assert from 'node:assert/strict';
import type { NewState, TreeOperation } from '#core/commit.ts';
import type { ContentId, DeviceId, ManifestId } from '#core/ids.ts';
import { Space } from '../commit-cases.ts';
import { ModelJournal, type ModelOperation, type ModelState } from './model-server.ts';

export class CommitJournal extends ModelJournal {
  #space = new Space();

  override commit(device: string, group: readonly ModelOperation[]): string | null {
    const asked = device as DeviceId;
    const operations = group.map((operation) => this.#operation(operation));
    const before = this.#space.entries.size;
    const { answers, rows, changed } = this.#space.commit(asked, [operations]);
    const refusal = answers.find(({ kind }) => kind !== 'applied' && kind !== 'group_failed');
    if (refusal) {
      assert.deepEqual([rows, changed, this.#space.entries.size], [[], [], before], 'what failed changed nothing');
      return refusal.kind === 'conflict' ? refusal.why : refusal.kind;
    }
    for (const { entry } of rows) {
      this.entries.set(entry.entry, entry);
      this.rows.push({ device, entry });
    }
    return null;
  }

  override copy(): CommitJournal {
    const copy = new CommitJournal();
    copy.entries = new Map(this.entries);
    copy.rows = [...this.rows];
    copy.#space = this.#space.copy();
    return copy;
  }

  #operation(operation: ModelOperation): TreeOperation {
    switch (operation.kind) {
      case 'create':
        return { ...operation, state: newState(operation.state) };
      case 'update': {
        const { entry, base, state } = operation;
        const content = state.content === null ? null : contentOf(state.content);
        return { kind: 'update', entry, base, content, target: state.target, mtimeUs: 0, exec: state.exec };
      }
      case 'move':
      case 'delete':
        return operation;
    }
  }
}

function newState({ kind, content, target, exec }: ModelState): NewState {
  if (kind === 'symlink') return { kind, target: target ?? '' };
  if (kind === 'file') return { kind, content: contentOf(content ?? ''), mtimeUs: 0, exec };
  return { kind: 'folder' };
}

function contentOf(content: string) {
  return { contentId: content as ContentId, manifestId: content as string as ManifestId, size: content.length };
}
