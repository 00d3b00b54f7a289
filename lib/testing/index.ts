/**
 * The driver contract, and a clock that a test moves.
 *
 * @module nestjs-dist-lock/testing
 */
export type { DriverContractOptions } from './bench.js';
export { type ContractCase, driverContract } from './driver-contract.js';
export { ManualClock } from './manual-clock.js';
