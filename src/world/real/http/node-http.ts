/**
 * Of `node:http`, which is not imported: an import reads all that the module exports, and with its WebSocket loads a second client of HTTP
 * that nothing here uses. On every thread that listens, that took as long as the start of Node.js itself.
 */
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');
