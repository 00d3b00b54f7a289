// `npm run test:servers`: what there is of tests for a driver and its server, on each of the other servers in turn, or on
// those that are named: `npm run test:servers -- valkey-9`. Fails where one of them fails, or cannot be had.
import { spawn } from 'node:child_process';
import { fetchServer, OTHER_SERVERS, versionOf } from './other-servers.mjs';

const REDIS = {
  variable: 'REDIS_SERVER_BIN',
  files: ['test/contract/', 'test/integration/red', 'test/faults/'],
  // The files of contract and faults are about several backends.
  tests: '^(?!.*(?:MemoryDriver|[Ee]tcd|on [1357] servers? of))',
};
