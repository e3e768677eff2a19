/**
 * The one table of errors that may reach a person or another process. Translate at the door: no errno and no SQL
 * state leaves its adapter. A code's meaning never changes; `status` is its HTTP status (RFC 9457 problem documents),
 * `exit` its exit code on the command line (docs: the contract in README), `retry` whether the same call may succeed later.
 */
type Row = {
  readonly status: number;
  readonly exit: number;
  readonly retry: 'never' | 'later';
  readonly title: string;
};
const row = (status: number, exit: number, retry: 'never' | 'later', title: string): Row => ({
  status,
  exit,
  retry,
  title,
});

export const errorTable = {
  // Requests that are wrong in themselves.
  invalid_json: row(400, 1, 'never', 'The request is not well-formed'),
  invalid_field: row(400, 2, 'never', 'A field of the request has a value that is not allowed'),
  invalid_name: row(400, 2, 'never', 'This is not a possible name'),
  invalid_usage: row(400, 2, 'never', 'The command cannot be used like this'),
  short_body: row(400, 6, 'later', 'The body ended early'),
  too_large: row(413, 8, 'never', 'The request is larger than its limit'),
  unsupported_media: row(415, 1, 'never', 'The content type is not the one asked for'),
  unknown_route: row(404, 1, 'never', 'There is nothing at this address'),
  method_not_allowed: row(405, 1, 'never', 'This method is not possible here'),
  upgrade_required: row(426, 2, 'never', 'The two sides speak different versions'),
  misdirected: row(421, 2, 'never', 'This server does not answer to that name'),
  // Who asks.
  unauthenticated: row(401, 4, 'never', 'No valid credentials'),
  forbidden: row(403, 4, 'never', 'Not allowed'),
  not_linked: row(401, 4, 'never', 'This device is not linked'),
  invite_used: row(410, 4, 'never', 'This invite was used, has expired or was revoked'),
  unknown_pin: row(401, 7, 'never', 'The other side showed a key that nobody vouches for'),
  // What is asked for.
  not_found: row(404, 3, 'never', 'Not found'),
  name_taken: row(409, 5, 'never', 'The name is taken'),
  conflict: row(409, 5, 'never', 'Something else changed it first'),
  cycle: row(409, 5, 'never', 'A folder cannot lie inside itself'),
  version_changed: row(412, 5, 'never', 'It changed in the meantime'),
  idempotency_conflict: row(422, 1, 'never', 'This operation id was used for another request'),
  held: row(409, 5, 'never', 'Held until a person approves it or rejects it'),
  voided: row(409, 5, 'never', 'This request was given up by its sender'),
  cursor_reset: row(410, 5, 'never', 'The journal no longer continues from this cursor'),
  superseded: row(409, 5, 'never', 'Another client works on the same state'),
  blocks_missing: row(422, 6, 'later', 'Blocks that the request names are not stored in this space'),
  // Bytes.
  hash_mismatch: row(422, 7, 'never', 'The bytes are not those that their name says'),
  block_corrupt: row(500, 7, 'later', 'Stored bytes are damaged'),
  block_missing: row(500, 7, 'later', 'Stored bytes are missing'),
  integrity: row(500, 7, 'never', 'Something is damaged, or is not what it should be'),
  // Disks and places.
  data_in_use: row(500, 5, 'later', 'The directory is in use by another process'),
  wrong_cluster: row(500, 7, 'never', 'The directory belongs to another cluster'),
  newer_version: row(500, 7, 'never', 'The data was written by a newer version'),
  port_in_use: row(500, 6, 'later', 'The port is in use'),
  folder_missing: row(500, 7, 'later', 'The folder is not what it should be'),
  no_space: row(507, 8, 'later', 'The disk is full'),
  quota_exceeded: row(507, 8, 'later', 'Over quota'),
  unsupported_by_disk: row(500, 4, 'never', 'The file system cannot hold it'),
  disk_failed: row(500, 7, 'later', 'The disk reported an error'),
  not_permitted_by_disk: row(500, 4, 'later', 'The operating system refused access'),
  // Peers.
  unreachable: row(503, 6, 'later', 'The other side cannot be reached'),
  storage_unavailable: row(503, 6, 'later', 'The storage nodes that are needed cannot be reached'),
  timeout: row(504, 6, 'later', 'No answer in time; the outcome is unknown'),
  busy: row(503, 6, 'later', 'Too busy; try again'),
  stopping: row(503, 6, 'later', 'The process is stopping'),
  defect: row(500, 1, 'never', 'A defect of Holdfast'),
} as const satisfies Record<string, Row>;

export type ErrorCode = keyof typeof errorTable;

/** What happened, to what, and what to do. `detail` is one line for a person; it never holds a path of the server, SQL or a secret. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  /** Machine-readable facts, e.g. `{missing: [...]}`. JSON only. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    detail: string,
    options: { readonly facts?: Readonly<Record<string, unknown>>; readonly cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get retry(): 'never' | 'later' {
    return errorTable[this.code].retry;
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text);
}

/** True where `error` is one of Holdfast's own with that code. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is HoldfastError {
  return error instanceof HoldfastError && codes.includes(error.code);
}
