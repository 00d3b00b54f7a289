/**
 * The driver for etcd.
 *
 * @module nestjs-dist-lock/etcd
 */
export { EtcdDriver } from './etcd.driver.js';
export type { EtcdDriverOptions, EtcdTls } from './options.js';
