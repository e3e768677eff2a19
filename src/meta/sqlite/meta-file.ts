/** The index as a file by itself: what a backup of it is. */
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type ClusterId, type SpaceId } from '#core/ids.ts';
import type { SqlDatabase, SqlOpener } from '#world/sql.ts';
import { SCHEMA_VERSION } from '../schema.ts';

export type IndexFile = {
  readonly cluster: ClusterId;
  readonly incarnation: number;
  readonly schemaVersion: number;
  readonly files: number;
  readonly spaces: readonly { readonly space: SpaceId; readonly headSeq: number }[];
};

/** Reads every page. Throws `integrity` where it is damaged or no index, `newer_version` where a later Holdfast wrote it. */
export function inspectIndexFile(opener: SqlOpener, path: string): IndexFile {
  const database = opener.open(path, { durability: 'full', readOnly: true });
  try {
    const [verdict] = database.prepare('pragma integrity_check(1)').all();
    if (verdict?.['integrity_check'] !== 'ok') throw damaged('its pages are damaged');
    return describe(database);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw new HoldfastError('integrity', 'the index is not what it should be', { cause: error });
  } finally {
    database.close();
  }
}

function describe(database: SqlDatabase): IndexFile {
  const tables = database.prepare(`select count(*) as n from sqlite_schema where name = 'cluster'`).get();
  if (tables?.['n'] !== 1) throw damaged('it is no index');
  const cluster = database.prepare('select cluster, incarnation, schema_version from cluster').get();
  if (!cluster) throw damaged('it belongs to no cluster');
  const schemaVersion = Number(cluster['schema_version']);
  if (schemaVersion > SCHEMA_VERSION)
    throw new HoldfastError(
      'newer_version',
      `the index was written by a newer version of Holdfast (format ${schemaVersion})`,
    );
  const files = database.prepare(`select count(*) as n from entry where kind = 'file'`).get();
  const spaces = database.prepare('select space, head_seq from space order by space').all();
  return {
    cluster: id16Of(cluster['cluster'] as Uint8Array),
    incarnation: Number(cluster['incarnation']),
    schemaVersion,
    files: Number(files?.['n']),
    spaces: spaces.map((row) => ({ space: id16Of(row['space'] as Uint8Array), headSeq: Number(row['head_seq']) })),
  };
}

function damaged(detail: string): HoldfastError {
  return new HoldfastError('integrity', `the index cannot be used: ${detail}`);
}
