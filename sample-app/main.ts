import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { playCustomers } from './customers.js';
import { howMany, print } from './print.js';
import { readSettings } from './settings.js';
import { type RunningReplica, startReplica } from './start-replica.js';
import { SharedStores } from './stores.js';

const PAUSE = 100;

// One handler for all applications of this process. An application that has a process of its own calls
// `app.enableShutdownHooks()` instead.
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop.abort());

const running: RunningReplica[] = [];
try {
  const settings = readSettings(process.env);
  const { replicas, port } = settings;
  const stores = new SharedStores(settings);
  log(`${howMany(replicas)} of one Nest application, on ${stores.name}. Ctrl+C ends.`);
  while (running.length < replicas && !stop.signal.aborted) {
    const index = running.length;
    running.push(await startReplica(index, port && port + index, stores.open()));
  }
  const urls = running.map(({ url }) => url);
  log(`See who leads:       curl ${urls[0]}/status`);
  log(`The leader's page:   ${urls.at(-1)}/leader`);
  log(`Ask a follower:      curl -i ${urls.at(-1)}/admin/term`);
  log(`Let another lead:    curl -i -X POST ${urls[0]}/admin/resign`);
  void playCustomers(urls, stop.signal);
  if (!stop.signal.aborted) await once(stop.signal, 'abort');
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  stop.abort();
  for (const { application, replica } of running) {
    replica.log('stops');
    await application.close();
    // As in a rolling update: the next replica gets a moment to take over.
    await sleep(PAUSE);
  }
}

function log(text: string): void {
  print('sample', 'white', text);
}
