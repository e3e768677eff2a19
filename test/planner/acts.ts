/** What a person does on a device, by paths. */
import { ROOT_ENTRY } from '#core/ids.ts';
import type { ModelClient } from './model-client.ts';

export type Act = (client: ModelClient) => void;
export const file = (content: string) => ({ kind: 'file', content }) as const;
export const folder = { kind: 'folder' } as const;
export const at = (client: ModelClient, path: string) => client.at(path);
const parentOf = (client: ModelClient, path: string) => client.at(path.slice(0, path.lastIndexOf('/')));
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

export const make =
  (path: string, made: Parameters<ModelClient['make']>[2]): Act =>
  (client) =>
    client.make(parentOf(client, path), nameOf(path), made);
export const makeUnread =
  (path: string, content: string): Act =>
  (client) =>
    client.make(parentOf(client, path), nameOf(path), file(content), false);
export const edit =
  (path: string, content: string): Act =>
  (client) =>
    client.edit(at(client, path), content);
export const editUnread =
  (path: string, content: string): Act =>
  (client) =>
    client.edit(at(client, path), content, false);
export const touch =
  (path: string): Act =>
  (client) =>
    client.touch(at(client, path));
export const move =
  (from: string, to: string): Act =>
  (client) =>
    client.move(at(client, from), parentOf(client, to), nameOf(to));
export const remove =
  (path: string): Act =>
  (client) =>
    client.remove(at(client, path));
export const rotate =
  (...paths: string[]): Act =>
  (client) => {
    const entries = paths.map((path) => at(client, path));
    const places = paths.map((path) => [parentOf(client, path), nameOf(path)] as const);
    entries.forEach((entry, index) => client.move(entry, ROOT_ENTRY, `between ${index}`));
    entries.forEach((entry, index) => client.move(entry, ...places[(index + 1) % places.length]!));
  };
export const exec =
  (path: string, isExec: boolean): Act =>
  (client) =>
    client.change(at(client, path), { exec: isExec });
export const aim =
  (path: string, target: string): Act =>
  (client) =>
    client.change(at(client, path), { target });
