/**
 * The command line: names, options and help. What a command does stands in the file of its name, which is loaded when it is called: a start is
 * most of what a short command takes.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { limits } from '#core/limits.ts';
import { PROTOCOL_VERSION } from '#protocol/account.ts';
import { makeContext, type Context, type Surroundings } from './context.ts';
import { exitCodeOf, lineOf } from './exit.ts';
import type { RescueOptions } from './rescue.ts';
import type { CriteriaOptions, ProposalOptions, TreatmentOptions } from './rules.ts';
import type { SelectOptions } from './select.ts';
import type { ServerOptions } from './server-options.ts';
import type { UpOptions } from './up.ts';

const DATA_HELP = "directory of this machine's data (default: $HOLDFAST_DATA, else ./data)";
const LISTEN_HELP = 'address to listen on; any but 127.0.0.1 turns TLS on';

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535)
    throw new InvalidArgumentError('a port is a whole number from 0 to 65535.');
  return value;
}

function fourPorts(text: string): readonly number[] {
  const ports = text.split(',').map(port);
  if (ports.length !== 4) throw new InvalidArgumentError('four ports are needed, for example 9000,9001,9002,9003.');
  return ports;
}

const SIZES = ['B', 'K', 'M', 'G', 'T'];
function size(text: string): number {
  const [, digits, unit] = /^(\d+)\s*([BKMGT])?(?:i?B)?$/i.exec(text.trim()) ?? [];
  const value = Number(digits) * 1024 ** Math.max(0, SIZES.indexOf((unit ?? 'B').toUpperCase()));
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('a size is a whole number of bytes, or like 10MiB.');
  return value;
}

const AGES: Readonly<Record<string, number>> = { h: 1, d: 24, w: 168, y: 8760 };
/** Milliseconds. */
function age(text: string): number {
  const [, digits, unit] = /^(\d+)\s*([hdwy])$/.exec(text.trim()) ?? [];
  const value = Number(digits) * (AGES[unit ?? ''] ?? Number.NaN) * 3_600_000;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('an age is like 12h, 30d, 8w or 1y.');
  return value;
}

/** Days. */
function history(text: string): number | 'forever' {
  if (text === 'forever') return text;
  const days = /^\d+\s*[dwy]$/.test(text.trim()) ? age(text) / 86_400_000 : 0;
  if (days < 1 || days > 36_500)
    throw new InvalidArgumentError('history is kept for a day at least, like 30d, 8w, 1y, or for ever: "forever".');
  return days;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('it is a whole number.');
  return value;
}

function copies(text: string): number {
  const value = wholeNumber(text);
  if (value < 1 || value > limits.copiesMax) throw new InvalidArgumentError(`1 to ${limits.copiesMax} are kept.`);
  return value;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 31_536_000)) throw new InvalidArgumentError('a time is given in seconds, above 0.');
  return value;
}

function days(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3650)) throw new InvalidArgumentError('it is a number of days, above 0.');
  return value;
}

/** What every command takes that runs a server. */
function serverOptions(command: Command): Command {
  return command
    .option('--data <dir>', DATA_HELP)
    .addOption(new Option('--listen <host>', LISTEN_HELP).default('127.0.0.1'))
    .addOption(new Option('--port <n>', 'port of the server').argParser(port).default(12345))
    .addOption(
      new Option(
        '--lost-after <seconds>',
        'a storage node out of reach for so long counts as lost: its copies are made anew',
      )
        .argParser(seconds)
        .default(900),
    )
    .addOption(
      new Option('--scrub-days <days>', 'every copy is read and verified once in so many days')
        .argParser(days)
        .default(28),
    )
    .addOption(
      new Option(
        '--challenge-every <seconds>',
        'seconds between two rounds in which every storage node proves that it holds what it says',
      )
        .argParser(seconds)
        .default(60),
    )
    .addOption(
      new Option(
        '--collect-every <seconds>',
        'seconds between two looks for bytes that nothing names any more; what is found is kept for twice that time',
      )
        .argParser(seconds)
        .default(43_200),
    )
    .addOption(
      new Option(
        '--root-every <seconds>',
        'seconds, at most, until a change of names and places is in the pools as well, for a rescue',
      )
        .argParser(seconds)
        .default(60),
    );
}

const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text];

/** Runs one command; the exit code is the contract's. */
export async function runCli(argv: readonly string[], surroundings: Surroundings, version: string): Promise<number> {
  const program = build(surroundings, version);
  try {
    await program.parseAsync(['node', 'holdfast', ...argv]);
    return 0;
  } catch (error) {
    // Help and version end a command early, as Commander sees it: that is no error. It has printed its own text by then.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${lineOf(error)}\n`);
    return exitCodeOf(error);
  }
}

function build(surroundings: Surroundings, version: string): Command {
  const program = new Command('holdfast')
    .description(
      'Your own drive, on machines that you own: folders in sync, bytes in copies on your storage nodes, sealed.',
    )
    .version(`${version} (protocol ${PROTOCOL_VERSION})`)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'holdfast: ').replace(/\n(?=.)/g, ' ')),
    });

  /** A command with `--json`, whose action gets its context first. */
  const command = <Options>(
    parent: Command,
    usageText: string,
    description: string,
    action: (context: Context, words: readonly unknown[], options: Options) => Promise<void>,
  ): Command => {
    // The name of a family alone ("holdfast rules") lists, as the contract has it.
    const made = parent
      .command(usageText, { isDefault: usageText === 'list' })
      .description(description)
      .option('--json', 'print JSON on stdout, nothing else');
    made.action(async (...args: unknown[]) => {
      const options = made.optsWithGlobals() as Options & { json?: boolean };
      await action(makeContext(surroundings, options), args.slice(0, -2), options);
    });
    return made;
  };

  const upCommand = command<UpOptions>(
    program,
    'up [folder]',
    'run everything on this machine: server, four storage nodes and, with FOLDER, a device that syncs it',
    async (context, [folder], options) => (await import('./up.ts')).up(context, (folder as string) ?? null, options),
  );
  serverOptions(upCommand).addOption(
    new Option('--node-ports <a,b,c,d>', 'ports of the nodes mp3, txt, pdf, others')
      .argParser(fourPorts)
      .default([9000, 9001, 9002, 9003], '9000,9001,9002,9003'),
  );
  serverOptions(
    command<ServerOptions>(program, 'server', 'run the server alone', async (context, _, options) =>
      (await import('./roles.ts')).serve(context, options),
    ),
  );
  command<{ data?: string; listen: string; port: number; join?: string; pool?: string; site?: string; name?: string }>(
    program,
    'node',
    'run a storage node alone',
    async (context, _, options) => (await import('./roles.ts')).node(context, options),
  )
    .option('--join <ticket>', 'the ticket that "holdfast invite --node" printed; needed once')
    .option('--pool <pool>', 'pool to join (default: as the ticket says, else others)')
    .option('--site <site>', 'with --join: where it is, e.g. attic; copies go to different sites first')
    .option('--name <name>', "name to show (default: the machine's)")
    .option('--data <dir>', DATA_HELP)
    .addOption(new Option('--listen <host>', 'address to listen on, always with TLS').default('127.0.0.1'))
    .addOption(new Option('--port <n>', 'port of the node').argParser(port).default(9000));
  command<{ node: boolean; address: readonly string[]; pool?: string }>(
    program,
    'invite',
    'make a one-time link for another device, or a ticket for a storage node',
    async (context, _, options) => (await import('./cluster-commands.ts')).invite(context, options),
  )
    .option('--node', 'a ticket for a storage node', false)
    .option('--pool <pool>', 'with --node: the pool that it joins')
    .option('--address <url>', 'address that the other side shall call; may be repeated', collect, []);
  command<{ once: boolean }>(
    program,
    'join <invite> [folder]',
    'link this device and sync FOLDER; without FOLDER, link only',
    async (context, [invite, folder], options) =>
      (await import('./sync.ts')).join(context, invite as string, (folder as string) ?? null, options),
  ).option('--once', 'stop as soon as both sides are in sync', false);
  command<{ once: boolean }>(
    program,
    'sync [folder]',
    'keep syncing what is linked',
    async (context, [folder], options) =>
      (await import('./sync.ts')).sync(context, (folder as string) ?? null, options),
  ).option('--once', 'stop as soon as both sides are in sync', false);
  command<{ to?: string; wait: boolean; space?: string }>(
    program,
    'fetch [names...]',
    'list the files on the storage nodes, or bring files from there',
    async (context, [names], options) =>
      (await import('./fetch.ts')).fetchCommand(context, (names as string[]) ?? [], options),
  )
    .option('--to <dir>', 'where to put them (default: ./target_folder)')
    .option('--wait', 'where a newer revision is being uploaded, wait for it', false)
    .option('--space <space>', 'another space than your own');
  command<{ space?: string }>(
    program,
    'why <path>',
    'the story of one file: which devices, which rule, which nodes, what became of it',
    async (context, [path], options) =>
      (await import('./why.ts')).whyCommand(context, path as string, options.space ?? null),
  ).option('--space <space>', 'another space than your own');
  command(program, 'status', 'what is in sync, what is not and why', async (context) =>
    (await import('./status.ts')).status(context),
  );

  const selection = program.command('select').description('what of the space this device keeps on its disk');
  const FOLDER_HELP = 'the linked folder, where there are several';
  command<SelectOptions>(selection, 'list', 'what it does not keep', async (context, _, options) =>
    (await import('./select.ts')).listSelection(context, options),
  ).option('--folder <folder>', FOLDER_HELP);
  command<SelectOptions>(
    selection,
    'remove <paths...>',
    'do not keep these here; they stay on the server and on other devices',
    async (context, [paths], options) =>
      (await import('./select.ts')).changeSelection(context, paths as string[], false, options),
  ).option('--folder <folder>', FOLDER_HELP);
  command<SelectOptions>(selection, 'add <paths...>', 'keep these here again', async (context, [paths], options) =>
    (await import('./select.ts')).changeSelection(context, paths as string[], true, options),
  ).option('--folder <folder>', FOLDER_HELP);

  const rules = program
    .command('rules')
    .description("which pool a file's bytes belong to, in how many copies, and how long its history is kept");
  const withCriteria = (made: Command): Command =>
    made
      .option('--glob <pattern>', 'files like this, as in a .gitignore')
      .addOption(new Option('--min-size <size>', 'of this size or more, e.g. 10MiB').argParser(size))
      .addOption(new Option('--max-size <size>', 'of this size or less').argParser(size))
      .option('--folder <path>', 'below this folder of the space')
      .option('--space <space>', 'in this space')
      .addOption(new Option('--older-than <age>', 'unchanged for so long, e.g. 30d').argParser(age))
      .option('--owner <name>', "in this account's spaces");
  const HISTORY_HELP = 'how long older versions, and what is deleted, are kept: e.g. 90d, 1y, forever (the default)';
  const COMPRESSION_HELP = 'how new blocks of these files are compressed (default: usual)';
  const COPIES_HELP = 'copies of each block, on the nodes of that pool (default: as many as the pool keeps)';
  const withTreatment = (made: Command): Command =>
    made
      .addOption(new Option('--copies <n>', COPIES_HELP).argParser(copies))
      .addOption(new Option('--history <time>', HISTORY_HELP).argParser(history))
      .addOption(new Option('--compression <how>', COMPRESSION_HELP).choices(['none', 'usual', 'strong']));
  const withProposal = (made: Command): Command =>
    withTreatment(withCriteria(made))
      .option('--file <file>', 'with these rules, as "rules list --json" prints them')
      .option('--remove <rule>', 'without this rule; may be repeated', collect, [])
      .option('--extension <extension>', 'with a further rule: for these files; may be repeated', collect, [])
      .option('--pool <pool>', 'with a further rule: pool that they go to')
      .option('--first', 'the further rule comes before the others', false);
  command(rules, 'list', 'rules in the order in which they are tried', async (context) =>
    (await import('./rules.ts')).listRules(context),
  );
  withTreatment(
    withCriteria(
      command<CriteriaOptions & TreatmentOptions & { first: boolean }>(
        rules,
        'add [extensions...]',
        'add a rule: files with these extensions, and all else that is named, go to a pool',
        async (context, [extensions], options) =>
          (await import('./rules.ts')).addRule(context, (extensions as string[]) ?? [], options),
      ),
    ),
  )
    .requiredOption('--pool <pool>', 'pool that they go to')
    .option('--first', 'try it before the other rules', false);
  command(rules, 'remove <rule>', 'remove a rule', async (context, [rule]) =>
    (await import('./rules.ts')).removeRule(context, rule as string),
  );
  withProposal(
    command<ProposalOptions & { size: number; age: number }>(
      rules,
      'test [name]',
      'where a file of that name would go; without NAME, what "rules apply" with the same options would move, and which history would end',
      async (context, [name], options) => {
        const { testRule, tryRules } = await import('./rules.ts');
        await (name === undefined ? tryRules(context, options) : testRule(context, name as string, options));
      },
    ),
  )
    .addOption(new Option('--size <size>', "the file's size").argParser(size).default(0))
    .addOption(new Option('--age <age>', 'for how long it is unchanged').argParser(age).default(0));
  withProposal(
    command<ProposalOptions>(
      rules,
      'apply',
      'from now on these rules for every file: what is elsewhere is moved, and history that is over ends, in the background',
      async (context, _, options) => (await import('./rules.ts')).applyRules(context, options),
    ),
  );
  const merge = program.command('merge').description('texts that are merged where two devices edit them at once');
  const ofSpace = ['--space <space>', 'another space than your own'] as const;
  command<{ space?: string }>(merge, 'list', 'extensions that it is on for', async (context, _, { space }) =>
    (await import('./merge.ts')).listMerged(context, space ?? null),
  ).option(...ofSpace);
  command<{ space?: string }>(
    merge,
    'on <extensions...>',
    'turn it on for files with these extensions',
    async (context, [extensions], { space }) =>
      (await import('./merge.ts')).mergeOn(context, extensions as string[], space ?? null),
  ).option(...ofSpace);
  command<{ space?: string }>(
    merge,
    'off <extensions...>',
    'turn it off for files with these extensions',
    async (context, [extensions], { space }) =>
      (await import('./merge.ts')).mergeOff(context, extensions as string[], space ?? null),
  ).option(...ofSpace);
  const held = program
    .command('holds')
    .description('changes that wait for your yes: they look like an accident or an attack');
  command(held, 'list', 'all of them', async (context) => (await import('./holds.ts')).listHolds(context));
  command(held, 'approve [hold]', 'let them go through', async (context, [hold]) =>
    (await import('./holds.ts')).decideHold(context, (hold as string) ?? null, 'approve'),
  );
  command(held, 'reject [hold]', 'undo them where they were made', async (context, [hold]) =>
    (await import('./holds.ts')).decideHold(context, (hold as string) ?? null, 'reject'),
  );
  const devices = program.command('devices').description('the devices that are linked');
  command(devices, 'list', 'all of them', async (context) =>
    (await import('./cluster-commands.ts')).listDevices(context),
  );
  command(devices, 'revoke <device>', "end a device's access at once", async (context, [device]) =>
    (await import('./cluster-commands.ts')).revokeDevice(context, device as string),
  );
  const nodes = program.command('nodes').description('the storage nodes');
  const NODE_HELP = 'by its id, the beginning of it, or its name';
  command(nodes, 'list', 'all of them', async (context) => (await import('./nodes.ts')).listNodes(context));
  command<{ stop: boolean }>(
    nodes,
    'drain <node>',
    `move everything away from a storage node, named ${NODE_HELP}`,
    async (context, [node], { stop }) => (await import('./nodes.ts')).drainNode(context, node as string, !stop),
  ).option('--stop', 'let it take blocks again', false);
  command<{ site: string }>(
    nodes,
    'set <node>',
    'say where a storage node is; copies go to different sites first, then to different machines',
    async (context, [node], { site }) => (await import('./nodes.ts')).setSite(context, node as string, site),
  ).requiredOption('--site <site>', 'e.g. attic; none: nowhere in particular');
  command<{ lost: boolean }>(
    nodes,
    'remove <node>',
    'take a storage node out; refused while too few copies would be left',
    async (context, [node], { lost }) => (await import('./nodes.ts')).removeNode(context, node as string, lost),
  ).option('--lost', 'it is gone for ever: make its copies anew at once', false);
  command(
    nodes,
    'trust <node>',
    'put a storage node back that was taken out of service for wrong answers; what it holds is read and verified first',
    async (context, [node]) => (await import('./nodes.ts')).trustNode(context, node as string),
  );
  command(
    nodes,
    'whatif <node>',
    'what the loss of a storage node would cost; changes nothing',
    async (context, [node]) => (await import('./nodes.ts')).whatIf(context, node as string),
  );
  const pools = program.command('pools').description('the pools');
  command(pools, 'list', 'all of them', async (context) => (await import('./nodes.ts')).listPools(context));
  command<{ copies: number }>(
    pools,
    'set <pool>',
    'how many copies a pool keeps; makes the pool where there is none',
    async (context, [pool], { copies }) => (await import('./nodes.ts')).setPool(context, pool as string, copies),
  ).addOption(
    new Option('--copies <n>', 'copies of each block, on as many storage nodes')
      .argParser(copies)
      .makeOptionMandatory(),
  );
  const backups = program
    .command('backup')
    .description(
      "the server's index in safety: names, trees, history and wrapped keys; not the blocks, and not the root key",
    );
  command<{ data?: string }>(
    backups,
    'create <dir>',
    'write a backup of the index into DIR, also while the server runs',
    async (context, [directory], options) =>
      (await import('./backup.ts')).create(context, directory as string, options),
  ).option('--data <dir>', DATA_HELP);
  command<{ data?: string }>(
    backups,
    'verify <dir>',
    'check a backup, change nothing',
    async (context, [directory], options) =>
      (await import('./backup.ts')).verify(context, directory as string, options),
  ).option('--data <dir>', DATA_HELP);
  command<{ data?: string; rootKey?: string }>(
    backups,
    'restore <dir>',
    'put a backup in the place of the index; devices then unite with it and delete nothing',
    async (context, [directory], options) =>
      (await import('./backup.ts')).restore(context, directory as string, options),
  )
    .option('--data <dir>', DATA_HELP)
    .option('--root-key <file>', 'a copy of the root key, where the data directory has none');
  command<{ full: boolean }>(program, 'verify', 'check everything, change nothing', async (context, _, options) =>
    (await import('./verify.ts')).verify(context, options),
  ).option('--full', 'read every copy of every block as well', false);
  const rescues = program
    .command('rescue')
    .description(
      "everything back from the storage nodes' directories and the recovery kit alone; changes nothing in them",
    );
  const rescueCommand = <Options extends RescueOptions>(
    usageText: string,
    description: string,
    action: (rescue: typeof import('./rescue.ts')) => (context: Context, options: Options) => Promise<void>,
  ): Command =>
    command<Options>(rescues, usageText, description, async (context, _, options) =>
      action(await import('./rescue.ts'))(context, options),
    )
      .requiredOption('--kit <file>', 'the recovery kit as a file (a copy of root.key); - reads it from stdin')
      .requiredOption('--nodes <dirs...>', "the nodes' directories, or directories that hold some");
  rescueCommand('list', 'what can be saved, and what is missing', ({ list }) => list);
  rescueCommand<RescueOptions & { to: string; partial: boolean }>(
    'export',
    'write every live file as a plain file; nothing is written over',
    ({ exportAll }) => exportAll,
  )
    .requiredOption('--to <dir>', 'where to; each space gets a folder')
    .option('--partial', 'write what there is of files that lack blocks, too, with zeroes in the gaps', false);
  rescueCommand<RescueOptions & { to: string }>(
    'server',
    'make a server of it: "holdfast server --data DIR" then starts, and devices join anew',
    ({ makeServer }) => makeServer,
  ).requiredOption('--to <dir>', 'its data directory; it may hold nodes, but no server');
  command<{ data?: string; confirm: boolean }>(
    program,
    'kit',
    'show the recovery kit, which opens everything: write it down, and keep it away from this machine',
    async (context, _, options) => (await import('./kit.ts')).kit(context, options),
  )
    .option('--data <dir>', DATA_HELP)
    .option('--confirm', 'ask for two groups of it, and note that it was written down', false);
  const tls = program.command('tls').description("the server's TLS key");
  command(tls, 'rotate', 'replace it while everything runs', async (context) =>
    (await import('./cluster-commands.ts')).rotateTls(context),
  );
  return program;
}
