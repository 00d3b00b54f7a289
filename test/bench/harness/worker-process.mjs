// The parent's side of a worker.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pinned } from './cpu.mjs';

const PATIENCE = 120_000;

export class WorkerProcess {
  #child;
  #pending = new Map();
  #ids = 0;

  /** @param workloadUrl the module whose `tasks` the worker runs */
  static async start(workloadUrl, port, cpu) {
    const worker = new WorkerProcess();
    const [execPath, ...execArgv] = pinned(cpu, [process.execPath, '--expose-gc']);
    worker.#child = fork(fileURLToPath(new URL('./worker.mjs', import.meta.url)), [workloadUrl, String(port)], {
      execPath,
      execArgv,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    worker.#child.once('exit', (code, signal) => worker.#fail(new Error(`The worker ended (${code ?? signal}).`)));
    await once(worker.#child, 'message');
    worker.#child.on('message', (answer) => worker.#settle(answer));
    return worker;
  }

  open({ name, url, settings }) {
    return this.#request('open', { name, url, settings });
  }

  /** Runs a task of the workload on an opened contestant. */
  run(task, { name }, args) {
    return this.#request('run', { task, name, args });
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  #request(request, args) {
    const id = ++this.#ids;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle({ id, error: 'The worker did not answer in time.' }), PATIENCE);
      this.#pending.set(id, { resolve, reject, timer });
      this.#child.send({ id, request, args });
    });
  }

  #settle({ id, result, error }) {
    const waiting = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(waiting?.timer);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }

  #fail(error) {
    for (const id of this.#pending.keys()) this.#settle({ id, error: error.message });
  }
}
