export { EtcdDriver } from './etcd.driver.js';
export type { EtcdDriverOptions, EtcdTls } from './options.js';
