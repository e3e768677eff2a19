/**
 * The tables of the metadata store, the same on every database. Ids and hashes are byte columns; names too, so that
 * equality is by bytes everywhere. Whole numbers stay below 2^53.
 */
export const SCHEMA_VERSION = 4;

export type MetaSchema = {
  /** One row: which version wrote the store, and whose it is. */
  cluster: {
    one: number;
    schema_version: number;
    cluster: Uint8Array;
    identity_public_key: Uint8Array;
    incarnation: number;
    /** The signed key list as it was last made. */
    key_list: Uint8Array;
    kit_confirmed: number;
    created_ms: number;
  };
  /** Secrets under the root key. `object`: what the secret belongs to, or zeroes. */
  secret: { purpose: string; object: Uint8Array; version: number; wrapped: Uint8Array };
  account: { account: Uint8Array; name: string };
  device: {
    device: Uint8Array;
    account: Uint8Array;
    name: string;
    linked_ms: number;
    last_seen_ms: number | null;
    revoked_ms: number | null;
  };
  /** States of links: how far each was seen to have come, and which client was the last to work on it. */
  install: { install: Uint8Array; device: Uint8Array; tick: number; session: Uint8Array };
  token: { token: string; device: Uint8Array; hash: Uint8Array };
  invite: {
    invite: string;
    kind: string;
    account: Uint8Array;
    secret_hash: Uint8Array;
    expires_ms: number;
    wrong_count: number;
    /** Who redeemed it: a token's hash or a node's pin. */
    redeemer: Uint8Array | null;
    /** The device or node that it made. */
    made: Uint8Array | null;
    pool: string | null;
  };
  space: {
    space: Uint8Array;
    account: Uint8Array;
    name: string;
    epoch: Uint8Array;
    head_seq: number;
    head_chain: Uint8Array;
    /** The lowest seq that a cursor may have: from it on no row is missing, and its own is there. */
    horizon_seq: number;
    key_version: number;
  };
  journal: { space: Uint8Array; seq: number; row: Uint8Array; chain: Uint8Array };
  /** How far a journal had come, day by day. `mark` rises by one; `at_ms` is when, by the server's clock. */
  journal_mark: { space: Uint8Array; mark: number; seq: number; at_ms: number };
  entry: {
    space: Uint8Array;
    entry: Uint8Array;
    parent: Uint8Array;
    name: Uint8Array;
    /** The name; in the trash, where names may meet, the entry's own id. Unique per parent. */
    slot: Uint8Array;
    kind: string;
    revision: number;
    placed: number;
    seq: number;
    content: Uint8Array | null;
    manifest: Uint8Array | null;
    size: number | null;
    target: string | null;
    mtime_us: number;
    exec: number;
    trashed_from: Uint8Array | null;
    revised_by: Uint8Array;
    placed_by: Uint8Array;
    /** Where its bytes are, and where the rules want them. Files only. */
    pool: string | null;
    pool_wanted: string | null;
    /** When it was made, and when it got its present content, by the server's clock. */
    made_ms: number;
    revised_ms: number;
    /** The last move of its bytes to another pool: from which, and when. */
    pooled_from: string | null;
    pooled_ms: number | null;
  };
  /** Entries whose `pool` is not `pool_wanted`: few, and found without reading the others. */
  misplaced: { space: Uint8Array; entry: Uint8Array };
  /** `condemned_mark`, `condemned_ms`: null, or the garbage collection found that nothing names it (`core/collection.ts`). */
  content: {
    space: Uint8Array;
    manifest: Uint8Array;
    content: Uint8Array;
    size: number;
    bytes: Uint8Array;
    condemned_mark: number | null;
    condemned_ms: number | null;
  };
  /** A block is durable in a pool, for a space. `holders`: numbers of the nodes, two bytes each. `owed`: copies still to be made. */
  presence: {
    space: Uint8Array;
    block: Uint8Array;
    pool: string;
    length: number;
    holders: Uint8Array;
    owed: number;
    condemned_mark: number | null;
    condemned_ms: number | null;
    /** The last copy that was found bad, on which node, and when. */
    fault: string | null;
    fault_node: number | null;
    fault_ms: number | null;
    /** When a copy was last made anew, which nodes held the block then, and which got it. */
    repaired_ms: number | null;
    repaired_from: Uint8Array | null;
    repaired_to: Uint8Array | null;
  };
  /**
   * Copies that nothing names any more, on a storage node. `state`: `waiting` to be judged; `deleting`: the node is told to, under `fence`;
   * `deleted`: it was. Whoever put the block there under a lower fence has to put it again.
   */
  garbage: { node: number; block: Uint8Array; state: string; fence: number; since_ms: number };
  /**
   * One row. `mark`: of the last mark that was begun. `fence`: of the last delete order. `forgotten_fence`: copies that were put under a lower one may be
   * gone without a row in `garbage` that says so.
   */
  collection: { one: number; mark: number; marked_ms: number; fence: number; forgotten_fence: number };
  upload: {
    upload: Uint8Array;
    space: Uint8Array;
    device: Uint8Array;
    entry: Uint8Array;
    parent: Uint8Array;
    name: Uint8Array;
    size: number;
    pool: string;
    /** The space's key version when it was opened: its blocks may be sealed under that one. */
    key_version: number;
    lease_ms: number;
  };
  /** Outlives its upload until garbage collection has looked at it. */
  upload_block: {
    upload: Uint8Array;
    block: Uint8Array;
    pool: string;
    length: number;
    holders: Uint8Array;
    owed: number;
  };
  /** `answer` null: voided before it arrived. */
  op_result: {
    device: Uint8Array;
    op: Uint8Array;
    space: Uint8Array;
    body_hash: Uint8Array | null;
    answer: string | null;
    at_ms: number;
  };
  /** Changes of a device that wait for a person. `reasons`: why, with commas. */
  hold: {
    hold: string;
    space: Uint8Array;
    device: Uint8Array;
    reasons: string;
    state: string;
    made_ms: number;
    /** When something was last added to it. */
    last_ms: number;
    /** The journal's head when the decision was carried out; null until then. */
    done_seq: number | null;
    decided_ms: number | null;
  };
  /** One operation of a hold, as the server would judge it, in the order in which they came. */
  hold_operation: {
    hold: string;
    position: number;
    entry: Uint8Array;
    operation: string;
    /** Where the bytes of an update are. */
    pool: string | null;
    /** Files and links that would go by it. */
    files: number;
    hardened: number;
  };
  /** What a device did lately that counts (`core/holds.ts`), per commit. */
  tally: { space: Uint8Array; device: Uint8Array; op: Uint8Array; at_ms: number; old: number; hardened: number };
  pool: { pool: string; copies: number };
  /** Files that devices merge, by their extension. */
  merged_extension: { space: Uint8Array; extension: string };
  /** `criteria`: JSON, `core/rules.ts`. */
  rule: { rule: string; position: number; criteria: string; pool: string };
  /** One row. `pending`: 1 while rules were changed and not yet applied to the files that there are. `placed_ms`: when all files were last looked at. */
  placing: { one: number; pending: number; placed_ms: number };
  /** Folders whose files are to be judged by the rules anew, and all below them. `after`: those up to this slot were. */
  placing_folder: { space: Uint8Array; folder: Uint8Array; after: Uint8Array };
  /** Which rows of a journal tell of what is kept no more (`core/purged.ts`): chunk by chunk, where anything is. */
  purged: { space: Uint8Array; chunk: number; bits: Uint8Array };
  /** Folders in the trash that were purged, whose files are still to be. */
  purging_folder: { space: Uint8Array; folder: Uint8Array; after: Uint8Array };
  node: {
    node: Uint8Array;
    number: number;
    name: string;
    pool: string;
    pin: Uint8Array;
    addresses: string;
    /** What may fail together: the host, or the site and the host (`core/node-domain.ts`). */
    domain: string;
    /** GiB that its disk has for blocks, as last judged; 0: not known yet. */
    weight: number;
    last_seen_ms: number | null;
    /** `Standing` of `core/copies.ts`. */
    standing: string;
    /** Which start of the node, and which process, answered last; 0 and empty before the first answer. */
    boot: number;
    run: string;
  };
  /** What nodes were caught at: `what` a node said of a block that is not so (`meta/lies.ts`). */
  node_lie: { number: number; block: Uint8Array; what: string; at_ms: number };
  layout: { pool: string; number: number; nodes: Uint8Array; placement: Uint8Array };
  job: {
    kind: string;
    subject: string;
    mark: string;
    place: string | null;
    done: number;
    total: number | null;
    skipped: number;
    again: number;
  };
  /** Roots that were made (`core/root-record.ts`) and are kept somewhere still. */
  root: {
    seq: number;
    made_ms: number;
    snapshot_ms: number;
    index_block: Uint8Array;
    /** The plain bytes of that block; of the newest root alone. */
    listing: Uint8Array | null;
    /** Hash of the tables that are exported whole. */
    whole_hash: Uint8Array;
    /** Pools that have all blocks that it lists, with commas. */
    pools: string;
    /** Storage nodes that keep the record. */
    nodes: number;
  };
  /** A block of metadata is durable in a pool. It is needed while a root from `first_seq` to `last_seq` is kept. */
  root_block: {
    block: Uint8Array;
    pool: string;
    length: number;
    holders: Uint8Array;
    owed: number;
    first_seq: number;
    last_seq: number;
  };
};
