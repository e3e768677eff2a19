/** Real SQLite databases in memory that can be copied as a whole. */
import { DatabaseSync } from 'node:sqlite';
import { sqliteDatabase } from '#world/real/sql.ts';
import type { MemoryDatabase } from '#world/sim/sim-sql.ts';

export function sqliteImages(): MemoryDatabase {
  const raw = new DatabaseSync(':memory:');
  raw.exec('PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY');
  return {
    database: sqliteDatabase(raw),
    image: () => raw.serialize(),
    load: (image) => raw.deserialize(image),
  };
}
