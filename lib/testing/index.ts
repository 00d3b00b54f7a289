/**
 * The driver contract, and a clock that a test moves.
 *
 * @module nestjs-dist-lock/testing
 */
export { type ContractCase, driverContract, type DriverContractOptions } from './driver-contract.js';
export { ManualClock } from './manual-clock.js';
