/** A device on a simulated machine: the real client and the real folder, and a person who works in it. */
import { startClient, type Client } from '#client/client.ts';
import { linkFolder } from '#client/link.ts';
import type { Status } from '#client/status.ts';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, ROOT_ENTRY, type DeviceId, type EntryId } from '#core/ids.ts';
import type { Invite } from '#core/invite.ts';
import { formatDeviceToken, secretHash } from '#core/token.ts';
import { redeem } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import type { Peer } from '#protocol/wire.ts';
import type { Folder } from '#world/folder.ts';
import { inlineFolder } from '#world/real/folder/inline.ts';
import { FolderWork } from '#world/real/folder/work.ts';
import type { SqlOpener, SqlRow } from '#world/sql.ts';
import { SimProcess } from '#world/sim/scheduler.ts';
import { wallMs } from '#world/sim/sim-clock.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { ProcessFiles } from '#world/sim/files/process-files.ts';
import type { Ledger } from './ledger.ts';
import { readNotWanted } from './choices.ts';
import { Machine, primitives, type Surroundings } from './machines.ts';
import { childOf, nameOf, parentOf, Programs, type Tree } from './programs.ts';
import { SERVER_ADDRESS } from './server-machine.ts';
import { isErrno, User } from './user.ts';
import { Files } from './files.ts';
import { SimWatcher } from '#world/sim/sim-watcher.ts';
import { deviceProfiles, type DeviceProfile } from '#world/sim/sim-file-system.ts';

export const ROOT = '/sync';
const STATE_PATH = 'state.db';
const forever = new AbortController().signal;

/** Most people's disk is the usual one. */
function drawProfile(random: SimRandom): DeviceProfile {
  if (random.chance(0.7)) return deviceProfiles.ext4;
  const { ext4Coarse, btrfs, weak, apfs, hfs, exfat, fat } = deviceProfiles;
  return random.pick([ext4Coarse, btrfs, weak, apfs, hfs, exfat, fat]);
}

export class DeviceMachine extends Machine {
  readonly files: Files;
  readonly programs: Programs;
  readonly user: User;
  readonly statePath = STATE_PATH;
  readonly #ledger: Ledger;
  readonly #invite: Invite;
  #token = '';
  #status: Status | null = null;
  #client: Client | null = null;
  #starts = 0;
  #boots = 1;
  #isLinked = false;
  #links = 0;

  constructor(name: string, around: Surroundings, ledger: Ledger, invite: Invite, profile?: DeviceProfile) {
    super(name, around);
    this.files = new Files({
      random: this.random,
      nowMs: () => wallMs(around.scheduler, this.wall),
      elapsedMs: () => around.scheduler.nowMs,
      profile: profile ?? drawProfile(new SimRandom(`${around.seed} ${name} disk`)),
    });
    this.programs = new Programs(this.files.people, ROOT);
    this.#ledger = ledger;
    this.#invite = invite;
    this.user = new User({
      name,
      ledger,
      programs: this.programs,
      onDone: (operation, path) => around.onAct(name, operation, path),
      largeShare: around.largeShare,
      twinNames: around.twinNames,
    });
  }

  get inSync(): boolean {
    return this.#status?.inSync === true;
  }

  /** A change of this device waits for a person. */
  get saysHeld(): boolean {
    return this.#status?.problems.some(({ code }) => code === 'held') === true;
  }

  /** The folder with the names that the space has for what lies in it: a disk that holds no two names side by side knows one by another. */
  tree(): Tree {
    const found = this.programs.tree();
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    if (!sql.prepare('SELECT 1 FROM local WHERE alias IS NOT NULL LIMIT 1').get()) return found;
    const children = sql.prepare(
      'SELECT entry, name FROM local WHERE parent = ? AND coalesce(alias, name) = ? AND slot IS NULL',
    );
    const known = new Map<string, { readonly path: string; readonly entry: string | null }>();
    const inSpace = (path: string): { readonly path: string; readonly entry: string | null } => {
      if (path === '') return { path: '', entry: ROOT_ENTRY };
      let named = known.get(path);
      if (!named) {
        const above = inSpace(parentOf(path));
        const row = above.entry === null ? undefined : children.get(above.entry, nameOf(path));
        const name = row ? (row['name'] as string) : nameOf(path);
        named = { path: childOf(above.path, name), entry: row ? (row['entry'] as string) : null };
        known.set(path, named);
      }
      return named;
    };
    return new Map([...found].map(([path, node]) => [inSpace(path).path, node]));
  }

  /** Whether its disk tells all names apart. */
  get tellsNames(): boolean {
    return this.files.profile.letterCase === 'sensitive' && this.files.profile.unicode === 'bytes';
  }

  /** 1 and 6: what its own trees must not be when all is quiet, with the first rows of each kind. */
  treeFaults(): string[] {
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    const faults: string[] = [];
    for (const tree of ['remote', 'local', 'synced']) {
      const orphans = `SELECT entry, parent, name FROM ${tree} WHERE parent NOT IN (SELECT entry FROM ${tree}) AND parent <> '${ROOT_ENTRY}' LIMIT 3`;
      for (const row of sql.prepare(orphans).all()) faults.push(`${tree} orphan ${JSON.stringify(row)}`);
      const place = tree === 'local' ? 'coalesce(alias, name)' : 'name';
      const where = tree === 'local' ? 'WHERE slot IS NULL' : '';
      const twins = `SELECT parent, ${place} AS at, count(*) AS n FROM ${tree} ${where} GROUP BY 1, 2 HAVING n > 1 LIMIT 3`;
      for (const row of sql.prepare(twins).all()) faults.push(`${tree} twins ${JSON.stringify(row)}`);
    }
    const apart = sql.prepare(
      `SELECT r.entry, r.parent, r.name, s.parent AS s_parent, s.name AS s_name, l.parent AS l_parent, l.name AS l_name FROM remote r
         LEFT JOIN synced s ON s.entry = r.entry LEFT JOIN local l ON l.entry = r.entry
       WHERE s.revision IS NOT r.revision OR s.placed IS NOT r.placed OR s.parent IS NOT r.parent OR s.name IS NOT r.name
         OR s.content IS NOT r.content OR (s.presence = 'here' AND (l.parent IS NOT r.parent OR l.name IS NOT r.name)) LIMIT 3`,
    );
    for (const row of apart.all()) faults.push(`apart ${JSON.stringify(row)}`);
    const notWanted = this.notWanted();
    const presences = sql.prepare(
      `SELECT r.entry, r.parent, r.name, s.presence, l.entry AS l_entry FROM remote r
         LEFT JOIN synced s ON s.entry = r.entry LEFT JOIN local l ON l.entry = r.entry`,
    );
    for (const row of presences.all()) {
      const expected = notWanted.has(row['entry'] as EntryId) ? 'not_selected' : 'here';
      if (row['presence'] !== expected || (row['l_entry'] !== null) !== (expected === 'here'))
        faults.push(`should be ${expected} ${JSON.stringify(row)}`);
    }
    const extra = sql.prepare(
      `SELECT entry, parent, name FROM synced WHERE entry NOT IN (SELECT entry FROM remote)
       UNION ALL SELECT entry, parent, name FROM local WHERE entry NOT IN (SELECT entry FROM remote) LIMIT 3`,
    );
    for (const row of extra.all()) faults.push(`extra ${JSON.stringify(row)}`);
    return faults;
  }

  /** For people: what it says, and the trees' rows of what it still has to do. */
  explain(): string {
    const lines = [`${this.name} ${this.isUp ? JSON.stringify(this.#status) : 'down'}`];
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    for (const row of sql.prepare('SELECT * FROM dirty LIMIT 5').all()) {
      lines.push(`  dirty ${JSON.stringify(row)}`);
      for (const tree of ['remote', 'local', 'synced'])
        lines.push(
          `    ${tree} ${JSON.stringify(sql.prepare(`SELECT * FROM ${tree} WHERE entry = ?`).get(row['entry'] ?? '') ?? null)}`,
        );
    }
    lines.push(...this.treeFaults().map((fault) => `  ${fault}`));
    return lines.join('\n');
  }

  /** Redeems the invite and makes the folder the place of the space. */
  async link(): Promise<void> {
    const process = new SimProcess(`${this.name} linking`);
    const random = new SimRandom(`${this.around.seed} ${this.name} link`);
    const peer = this.around.net.peer(process, this.name, SERVER_ADDRESS, () => ({
      kind: 'anonymous',
      address: this.name,
    }));
    const own = random.bytes(32);
    const { response } = await ask(
      peer,
      redeem,
      {
        invite: { id: this.#invite.tokenId, secret: this.#invite.secret },
        device: id16Of<DeviceId>(random.bytes(16)),
        name: this.name,
        tokenHash: secretHash(primitives, own),
      },
      forever,
    );
    this.#token = formatDeviceToken({ id: response.tokenId, secret: own });
    const folder = this.#folder(process, this.#open(process));
    await linkFolder({ folder, sql: this.sql.opener(process), random, statePath: STATE_PATH });
    process.end();
  }

  get isLinked(): boolean {
    return this.#isLinked;
  }

  /** Its databases, for a process other than the client's. */
  otherProcess(): SqlOpener {
    return this.sql.opener(new SimProcess('looking on'));
  }

  /** As the command tells a client that runs. */
  tellChosen(): void {
    this.#client?.chosen();
  }

  /** The server, for a process of this device. */
  peer(process: SimProcess): Peer {
    return this.around.net.peer(process, this.name, SERVER_ADDRESS, () => ({
      kind: 'bearer',
      token: this.#token,
      address: this.name,
    }));
  }

  /** Entries that are not to be on its disk, with their paths in the space. */
  notWanted(): ReadonlyMap<EntryId, string> {
    return readNotWanted(this.otherProcess(), STATE_PATH);
  }

  /** Another machine with such a disk, this one's identity and the state of it. */
  twin(name: string, state: Uint8Array): DeviceMachine {
    const twin = new DeviceMachine(name, this.around, this.#ledger, this.#invite, this.files.profile);
    twin.#token = this.#token;
    twin.#isLinked = true;
    twin.sql.put(STATE_PATH, state);
    return twin;
  }

  /** Which installation its state says that it is; null: none yet. */
  install(): string | null {
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    return (sql.prepare(`SELECT value FROM meta WHERE key = 'install_id'`).get()?.['value'] ?? null) as string | null;
  }

  override kill(): void {
    super.kill();
    this.#client = null;
    this.#status = null;
  }

  override powerCut(): void {
    const wasMounted = this.files.isMounted;
    this.files.mount();
    const before = this.#texts();
    super.powerCut();
    this.#boots++;
    this.files.powerCut();
    const after = this.#texts();
    // What a program wrote and the disk had not yet taken went with the power: nobody can give it back.
    for (const text of before) if (!after.has(text)) this.#ledger.gaveUp(text);
    for (const text of after) this.#ledger.tolerate(text, this.name);
    if (!wasMounted) this.files.unmount();
  }

  /** Nobody works without power, or in a place where their folder is not. */
  get hasPerson(): boolean {
    return this.files.isMounted && this.hasPower;
  }

  act(random: SimRandom): void {
    if (this.hasPerson) this.user.act(random);
  }

  /** Two things change places: elsewhere one of them has to make room first. */
  swap(random: SimRandom): void {
    if (this.hasPerson) this.user.swap(random);
  }

  /** It has heard of a folder of that name which does not lie there yet. */
  isToGet(name: string): boolean {
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    const coming = `SELECT 1 FROM remote r LEFT JOIN local l ON l.entry = r.entry
      WHERE r.kind = 'folder' AND r.name = ? AND (l.parent IS NOT r.parent OR l.name IS NOT r.name) LIMIT 1`;
    return sql.prepare(coming).get(name) !== undefined;
  }

  /** Names, here and elsewhere, of what others changed and this disk has not taken yet. */
  namesToGet(): ReadonlySet<string> {
    if (!this.#isLinked) return new Set();
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    const coming = `SELECT coalesce(r.name, l.name) AS there, coalesce(l.alias, l.name, r.name) AS here FROM synced s
      LEFT JOIN remote r ON r.entry = s.entry LEFT JOIN local l ON l.entry = s.entry WHERE s.revision IS NOT r.revision
      UNION ALL SELECT r.name, r.name FROM remote r WHERE r.entry NOT IN (SELECT entry FROM synced)`;
    return namesOf(sql.prepare(coming).all());
  }

  /** Names, here and elsewhere, of what it has yet to settle. One that lost its state knows of nothing. */
  namesInHand(): ReadonlySet<string> {
    if (!this.#isLinked) return new Set();
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    const inHand = `SELECT coalesce(r.name, l.name) AS there, coalesce(l.alias, l.name, r.name) AS here FROM dirty d
      LEFT JOIN remote r ON r.entry = d.entry LEFT JOIN local l ON l.entry = d.entry WHERE coalesce(r.name, l.name) IS NOT NULL`;
    return namesOf(sql.prepare(inHand).all());
  }

  /** Names, here and elsewhere, of what the disk was not told to keep. */
  namesUnflushed(): ReadonlySet<string> {
    if (!this.#isLinked) return new Set();
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    const unflushed = `SELECT l.name AS there, coalesce(l.alias, l.name) AS here FROM unflushed u JOIN local l ON l.entry = u.entry`;
    return namesOf(sql.prepare(unflushed).all());
  }

  /** Something of its folder lies aside, or is about to. */
  isParking(): boolean {
    const sql = this.otherProcess().open(STATE_PATH, { durability: 'normal' });
    return sql.prepare('SELECT 1 FROM parking LIMIT 1').get() !== undefined;
  }

  /** A folder that nobody may read for a while, this device's programs neither. */
  closeFolder(random: SimRandom): () => void {
    const folders = this.programs.paths().filter(({ kind }) => kind === 'folder');
    if (folders.length === 0) return () => {};
    const { path } = random.pick(folders);
    return this.files.close(`${ROOT}/${path}`);
  }

  openFolders(): void {
    const folders = this.programs.paths().filter(({ kind }) => kind === 'folder');
    this.files.openAll(folders.map(({ path }) => `${ROOT}/${path}`));
  }

  /** What the client knew is gone: the next start is a first link. */
  loseState(): void {
    this.sql.put(STATE_PATH, null);
    this.#isLinked = false;
  }

  /** How often its folder was linked anew, since what the client knew was gone. */
  get links(): number {
    return this.#links;
  }

  /** What the client knows now; null before it is linked. */
  copyState(): Uint8Array | null {
    return this.#isLinked ? this.sql.copy(STATE_PATH) : null;
  }

  /** The client is down: what it knew at some earlier time is put back, as from a backup of the machine. */
  putStateBack(image: Uint8Array): void {
    this.sql.put(STATE_PATH, image);
  }

  protected async run(process: SimProcess, random: SimRandom): Promise<void> {
    const files = this.#open(process);
    const folder = this.#folder(process, files);
    const sql = this.sql.opener(process);
    // Nobody links a folder on a disk that is not there.
    if (!this.#isLinked && !this.files.isMounted) throw new HoldfastError('folder_missing', 'the disk is not mounted');
    await linkFolder({ folder, sql, random, statePath: STATE_PATH });
    if (!this.#isLinked) this.#links++;
    this.#isLinked = true;
    const client = startClient({
      folder,
      watcher: new SimWatcher({
        files,
        root: ROOT,
        later: (name, run) => void this.around.scheduler.after(process, 0, name, run),
        chance: this.random,
        ...this.files.hints,
      }),
      peer: this.peer(process),
      sql,
      clock: this.clock(process),
      random,
      log: this.log(),
      primitives,
      statePath: STATE_PATH,
      deviceName: this.name,
      boot: String(this.#boots),
      space: null,
      onStatus: (status) => {
        if (process.alive) this.#status = status;
      },
    });
    this.#client = client;
    client.ended.then(
      () => this.around.onDefect(this.name, 'the client ended by itself'),
      (error: unknown) => this.around.onDefect(this.name, error),
    );
  }

  #open(process: SimProcess) {
    const { scheduler } = this.around;
    return this.files.open(process, (name, effect) => scheduler.step(process, `files ${name}`, effect));
  }

  #folder(process: SimProcess, files: ProcessFiles): Folder {
    const { scheduler } = this.around;
    const clock = this.clock(process);
    this.#starts++;
    const work = new FolderWork({
      rootPath: ROOT,
      primitives,
      fileSystem: files,
      instance: `${this.name}-${this.#starts}`,
      nowMs: () => clock.nowMs(),
      wait: () => {},
    });
    return inlineFolder(work, {
      step: (name, effect) => scheduler.step(process, `folder ${name}`, effect, this.random.below(100) / 50),
      sleep: (ms) => clock.sleep(ms, forever),
    });
  }

  /** Also of what the device has parked: that is people's. */
  #texts(): Set<string> {
    const { programs } = this;
    const texts = new Set<string>();
    try {
      const tmp = '.holdfast/tmp';
      const names = programs.kindAt(tmp) === 'folder' ? programs.files.readdir(programs.at(tmp)) : [];
      const parked = names.filter((name) => name.startsWith('parked-')).map((name) => `${tmp}/${name}`);
      for (const path of parked) if (programs.kindAt(path) === 'file') texts.add(programs.read(path));
      for (const folder of ['', ...parked.filter((path) => programs.kindAt(path) === 'folder')])
        for (const node of programs.tree(folder).values()) if (node.kind === 'file') texts.add(node.text);
    } catch (error) {
      if (!isErrno(error)) throw error;
    }
    return texts;
  }
}

function namesOf(rows: readonly SqlRow[]): ReadonlySet<string> {
  const names = rows.flatMap((row) => [row['there'], row['here']]);
  return new Set(names.filter((name) => typeof name === 'string'));
}
