/**
 * The driver for tests, and for an application that runs as one process.
 *
 * @module nestjs-dist-lock/memory
 */
export { MemoryDriver } from './memory.driver.js';
