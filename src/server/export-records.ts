/** Rows of the index as records of an export, in which tables go by numbers. */
import { encodeExportRecord, type ExportRecord } from '#core/export-stream.ts';
import type { Primitives } from '#core/primitives.ts';
import {
  EXPORTED_TABLES,
  exportColumns,
  WHOLE_TABLES,
  wholeTable,
  type ExportedRow,
  type TableName,
} from '#meta/exporting.ts';
import type { MetaReader } from '#meta/meta-store.ts';

function numberOf(table: TableName): number {
  return EXPORTED_TABLES.indexOf(table) + 1;
}

export function rowRecord({ table, values }: ExportedRow): ExportRecord {
  return { kind: 'row', table: numberOf(table), values };
}

export function tableRecords(): readonly ExportRecord[] {
  return EXPORTED_TABLES.map((table) => ({
    kind: 'table',
    table: numberOf(table),
    name: table,
    columns: exportColumns(table),
  }));
}

export type Whole = { readonly records: readonly ExportRecord[]; readonly hash: Uint8Array };

/** All of the small tables. The hash tells whether anything was committed since: every commit changes a row of them. */
export async function wholeRecords(primitives: Primitives, reader: MetaReader): Promise<Whole> {
  const records: ExportRecord[] = [];
  for (const table of WHOLE_TABLES) {
    records.push({ kind: 'whole', table: numberOf(table) });
    records.push(...(await wholeTable(reader, table)).map(rowRecord));
  }
  return { records, hash: primitives.sha256(...records.map(encodeExportRecord)) };
}
