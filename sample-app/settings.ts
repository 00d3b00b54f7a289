export interface Settings {
  /** How many replicas this process plays. */
  readonly replicas: number;
  /** Port of the first replica; the next ones follow. 0: the operating system chooses. */
  readonly port: number;
  /** Where locks and orders are. Without it the replicas share the memory of this process. */
  readonly redisUrl: string | undefined;
  /** Members of an etcd cluster. With them the locks are there, whatever the orders are in. */
  readonly etcdHosts: readonly string[];
}

export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    replicas: wholeNumber(env, 'REPLICAS', 3, 1, 20),
    port: wholeNumber(env, 'PORT', 3000, 0, 65_000),
    redisUrl: env['REDIS_URL'] || undefined,
    etcdHosts: (env['ETCD_HOSTS'] ?? '').split(',').filter(Boolean),
  };
}

function wholeNumber(env: NodeJS.ProcessEnv, name: string, fallback: number, min: number, max: number): number {
  const value = Number(env[name] || fallback);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${name}=${env[name]}: expected a whole number from ${min} to ${max}.`);
}
