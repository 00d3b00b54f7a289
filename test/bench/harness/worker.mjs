// A child process: opens contestants and runs the tasks of one workload on them.
const [workloadUrl, port] = process.argv.slice(2);
const { tasks } = await import(workloadUrl);
const locks = new Map();

const requests = {
  async open({ name, url, settings }) {
    const { open } = await import(url);
    const hosts = port.split(',').map((each) => `127.0.0.1:${each}`);
    locks.set(name, await open({ port: Number(port), hosts }, settings));
  },
  run: ({ task, name, args }) => tasks[task](locks.get(name), args),
};

async function answer({ id, request, args }) {
  try {
    process.send({ id, result: await requests[request](args) });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
}

process.on('message', (message) => void answer(message));
process.on('disconnect', () => process.exit());
process.on('unhandledRejection', (error) => console.error('unhandled rejection in a worker:', error));
process.send('ready');
