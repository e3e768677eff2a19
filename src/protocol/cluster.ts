/** Verbs that look at and change the cluster: what is stored where, rules, nodes, status. */
import { z } from 'zod';
import { limits } from '#core/limits.ts';
import {
  label,
  clusterId,
  contentId,
  count,
  deviceId,
  entryId,
  hash,
  manifestId,
  name,
  nodeId,
  placedPool,
  poolName,
  siteName,
  seq,
  sizeBytes,
  spaceId,
  timeMs,
  timeUs,
} from './fields.ts';
import { verb } from './wire.ts';

/** A file as `holdfast fetch` lists it. `path` has `/` between names. `updating`: a newer revision is being uploaded by `device`; what can be fetched is the last complete one (`manifest: null`: there is none yet). */
const fileRow = z.strictObject({
  entry: entryId,
  path: z.string(),
  size: sizeBytes,
  mtimeUs: timeUs,
  revision: seq,
  manifest: manifestId.nullable(),
  contentId: contentId.nullable(),
  exec: z.boolean(),
  pool: placedPool,
  copies: count,
  state: z.enum(['stored', 'updating']),
  device: z.strictObject({ device: deviceId, name: label }).nullable(),
});
export type FileRow = z.infer<typeof fileRow>;

/** Files of a space in order of entry id; page on with the last row's `entry`. */
export const files = verb(
  'files',
  'device',
  z.strictObject({ space: spaceId, after: entryId.nullable(), limit: z.number().int().min(1).max(1000) }),
  z.strictObject({ files: z.array(fileRow), done: z.boolean() }),
);

/** Which files a rule is for: all that is named must hold. */
const criteria = {
  /** Without the dot, any letter case. Empty: any. */
  extensions: z.array(z.string().regex(/^[^./\\]{1,64}$/)).max(256),
  /** As a line of a `.gitignore` at the root of the space. */
  glob: z.string().min(1).max(1024).optional(),
  sizeMin: sizeBytes.optional(),
  sizeMax: sizeBytes.optional(),
  space: spaceId.optional(),
  /** Path of a folder in the space, without a slash at either end. */
  folder: z.string().min(1).max(4096).optional(),
  /** Since the file was last changed, milliseconds. */
  ageMsMin: count.optional(),
  /** An account's name. */
  owner: label.optional(),
};
/** What becomes of them. */
const treatment = {
  pool: poolName,
  /** Of each block, on the nodes of that pool; none: as many as the pool keeps. */
  copies: z.number().int().min(1).max(limits.copiesMax).optional(),
  /** For how many days on which the server runs their history is kept at least; none: for ever. */
  historyDays: z.number().int().min(1).max(36_500).optional(),
  /** How devices are to seal their new blocks; none: `usual`. */
  compression: z.enum(['none', 'usual', 'strong']).optional(),
};
/** Rules are tried in order of `position`; the first that matches decides; none: pool `others`, and history for ever. */
export const ruleRow = z.strictObject({
  rule: z.string().regex(/^[a-z0-9]{1,32}$/),
  position: count,
  ...criteria,
  ...treatment,
});
/** Rules as they might be, in the order in which they are tried. Those that are there already keep their name. */
const proposedRule = z.strictObject({ rule: ruleRow.shape.rule.optional(), ...criteria, ...treatment });
export type ProposedRule = z.infer<typeof proposedRule>;
export const proposedRules = z.array(proposedRule).max(1000);
/** Null: the rules as they are. */
const proposal = proposedRules.nullable();

/** `pending`: rules were changed and not yet applied to the files that were there. `owner`: name of the caller's account, for rules that ask for one. */
export const rulesList = verb(
  'rules-list',
  'device',
  z.strictObject({}),
  z.strictObject({ rules: z.array(ruleRow), pending: z.boolean(), owner: label }),
);
/** Takes effect for the next file at once; what is there stays where it is until `rules-apply`. The pool must exist. */
export const rulesAdd = verb(
  'rules-add',
  'owner',
  z.strictObject({ ...criteria, ...treatment, first: z.boolean() }),
  z.strictObject({ rule: ruleRow }),
);
export const rulesRemove = verb(
  'rules-remove',
  'owner',
  z.strictObject({ rule: ruleRow.shape.rule }),
  z.strictObject({}),
);
/** Where a file of that name would go, and why. `folder`: path of the one that it lies in; none: the root of the caller's own space. */
export const rulesTest = verb(
  'rules-test',
  'device',
  z.strictObject({
    name,
    size: sizeBytes,
    folder: criteria.folder,
    ageMs: count.optional(),
    rules: proposal.optional(),
  }),
  z.strictObject({ pool: placedPool, rule: ruleRow.nullable() }),
);
/**
 * What `rules-apply` would move, page by page: `next` is the next one's `after`. Bytes: `bytes` of the files themselves, `storedBytes` of their
 * blocks; `addedBytes` and `freedBytes`, of all copies, at most: blocks that files share are counted for each.
 */
export const rulesTry = verb(
  'rules-try',
  'owner',
  z.strictObject({ rules: proposal, after: z.strictObject({ space: spaceId, entry: entryId }).nullable() }),
  z.strictObject({
    looked: count,
    moves: z.array(
      z.strictObject({
        from: placedPool,
        to: placedPool,
        files: count,
        bytes: sizeBytes,
        storedBytes: sizeBytes,
        addedBytes: sizeBytes,
        freedBytes: sizeBytes,
        copies: z.strictObject({ before: count, after: count }),
        /** Storage nodes that `to` lies on and that take blocks. */
        nodes: count,
      }),
    ),
    /** Paths of some that would have fewer copies than now. */
    fewer: z.array(z.string()),
    next: z.strictObject({ space: spaceId, entry: entryId }).nullable(),
  }),
);
export type RulesTried = z.infer<typeof rulesTry.response>;
/**
 * What `rules-apply` would purge, step by step: `next` is the next one's `at`; the caller keeps it, the server remembers nothing. `revisions`: older
 * ones; `deleted`: files in the trash. Bytes of the files themselves, at most: what another revision has as well does not become free.
 */
export const rulesPurge = verb(
  'rules-purge',
  'owner',
  z.strictObject({ rules: proposal, at: z.string().max(1_048_576).nullable() }),
  z.strictObject({
    revisions: z.strictObject({ count, bytes: sizeBytes }),
    deleted: z.strictObject({ count, bytes: sizeBytes }),
    next: z.string().nullable(),
  }),
);
export type RulesPurged = z.infer<typeof rulesPurge.response>;
/** These rules from now on, for all files: those that are elsewhere are moved in the background. */
export const rulesApply = verb(
  'rules-apply',
  'owner',
  z.strictObject({ rules: proposal }),
  z.strictObject({ rules: z.array(ruleRow) }),
);

/** Work that goes on in the background. `left` null: not counted yet. `secondsLeft` null: not known. Counts are blocks. */
const jobRow = z.strictObject({
  name: z.string().max(64),
  subject: z.string().max(255),
  done: count,
  left: count.nullable(),
  ratePerS: z.number().min(0),
  bytesPerS: count,
  secondsLeft: count.nullable(),
});
export type JobRow = z.infer<typeof jobRow>;

const nodeRow = z.strictObject({
  node: nodeId,
  name: label,
  pool: poolName,
  /** Null: none was named, and its host counts as one. */
  site: siteName.nullable(),
  address: z.string(),
  state: z.enum(['ok', 'read_only', 'failed', 'unreachable']),
  /**
   * `draining`: what it holds moves away. `lost`: out of reach for so long that its copies are made anew on others. `distrusted`: it lied; what
   * it held is made anew on others.
   */
  standing: z.enum(['in', 'draining', 'lost', 'distrusted']),
  /**
   * What is held against it: blocks of which it gave a wrong proof or sent wrong bytes, or which it claims and cannot show (`not_there`).
   * Null: nothing that matters. A node that has this and is not `distrusted` has blocks that nobody else has.
   */
  lies: z
    .strictObject({
      blocks: count,
      firstMs: timeMs,
      lastMs: timeMs,
      what: z.array(z.enum(['wrong_proof', 'wrong_bytes', 'not_there'])),
    })
    .nullable(),
  /** Only while it drains: what the index says that it still holds, and how fast that goes. */
  drain: z
    .strictObject({
      blocksLeft: count,
      bytesLeft: sizeBytes,
      ratePerS: z.number().min(0),
      bytesPerS: count,
      secondsLeft: count.nullable(),
    })
    .nullable(),
  blocks: count,
  storedBytes: sizeBytes,
  /** In its log, of what it holds no more: compaction frees them. */
  deadBytes: sizeBytes,
  freeBytes: sizeBytes,
  quarantined: count,
  lastSeenMs: timeMs.nullable(),
});
export type NodeRow = z.infer<typeof nodeRow>;
export const nodesList = verb('nodes-list', 'device', z.strictObject({}), z.strictObject({ nodes: z.array(nodeRow) }));
/** Moves away what the node holds. `drain` false: it takes blocks again. */
export const nodesDrain = verb(
  'nodes-drain',
  'owner',
  z.strictObject({ node: nodeId, drain: z.boolean() }),
  z.strictObject({ blocksLeft: count, bytesLeft: sizeBytes }),
);
/** Says where a node is; null: nowhere in particular. Copies that are to lie elsewhere then move in the background. */
export const nodesSite = verb(
  'nodes-site',
  'owner',
  z.strictObject({ node: nodeId, site: siteName.nullable() }),
  z.strictObject({}),
);
/** Refused while too few copies would be left, unless it is said to be `lost`: gone for ever. Its copies are then made anew at once. */
export const nodesRemove = verb(
  'nodes-remove',
  'owner',
  z.strictObject({ node: nodeId, lost: z.boolean() }),
  z.strictObject({ blocksToCopy: count }),
);
/** Puts a node back into service that was `distrusted`. What it holds counts again once it was read from it and verified. */
export const nodesTrust = verb('nodes-trust', 'owner', z.strictObject({ node: nodeId }), z.strictObject({}));
/** What its loss would cost, by the rows as they are now. `measured`: at the rate of the present repair; else at the rate that it is allowed. */
export const nodesWhatif = verb(
  'nodes-whatif',
  'device',
  z.strictObject({ node: nodeId }),
  z.strictObject({
    filesLost: count,
    filesWithOneCopy: count,
    blocksToCopy: count,
    bytesToCopy: sizeBytes,
    bytesPerS: count,
    measured: z.boolean(),
    seconds: count,
  }),
);

const poolRow = z.strictObject({ pool: placedPool, copies: count, nodes: count });
export type PoolRow = z.infer<typeof poolRow>;
export const poolsList = verb('pools-list', 'device', z.strictObject({}), z.strictObject({ pools: z.array(poolRow) }));
/** Makes the pool where there is none. Copies that are owed then are made in the background; surplus ones are given up there. */
export const poolsSet = verb(
  'pools-set',
  'owner',
  z.strictObject({ pool: poolName, copies: z.number().int().min(1).max(limits.copiesMax) }),
  z.strictObject({ pool: poolRow, made: z.boolean() }),
);

/**
 * The server writes a backup of its index into a directory on its own machine. `proof` is what the caller wrote there, into `.request`: so that
 * nobody makes the server write where they could not write themselves. `running`: ask again with the same, until it is done.
 */
export const backupCreate = verb(
  'backup-create',
  'owner',
  z.strictObject({ directory: z.string().min(1).max(4096), proof: hash }),
  z.discriminatedUnion('state', [
    z.strictObject({ state: z.literal('running') }),
    z.strictObject({ state: z.literal('done'), cluster: clusterId, files: count, bytes: sizeBytes }),
  ]),
);

export const serverStatus = verb(
  'server-status',
  'device',
  z.strictObject({}),
  z.strictObject({
    version: z.string(),
    startedMs: timeMs,
    files: count,
    plainBytes: sizeBytes,
    /** Blocks of which fewer copies than their pool asks for lie on storage nodes that can be reached. */
    copiesAtRisk: count,
    uploading: count,
    /** Files whose bytes are on their way to where the rules want them; `looking`: there may be more. */
    moving: z.strictObject({ files: count, looking: z.boolean() }),
    /** Rules were changed and not yet applied to the files that were there. */
    rulesPending: z.boolean(),
    /** Copies on storage nodes that nothing names any more, and that are still to be deleted. */
    garbageCopies: count,
    recoveryKitConfirmed: z.boolean(),
    /** The newest root: what a rescue would find, at least. Null before the first. */
    root: z.strictObject({ seq, madeMs: timeMs, nodes: count }).nullable(),
    nodes: z.array(nodeRow),
    jobs: z.array(jobRow),
    problems: z.array(z.strictObject({ path: z.string(), code: z.string(), message: z.string() })),
  }),
);
