import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** Paths, for servers. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority of our own, made by openssl in a temporary folder. */
export class PrivateCa {
  /** PEM. */
  readonly ca: string;
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'private-ca-'));

  constructor(name = 'Private CA') {
    this.path = this.#file('ca.crt');
    this.#openssl(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
    );
    this.ca = readFileSync(this.path, 'utf8');
  }

  /** @param altNames such as 'IP:127.0.0.1'  @param days for which it is valid; below 0: it has expired */
  issue(name: string, altNames: string, days = 1): Certificate {
    writeFileSync(this.#file('extensions'), `subjectAltName=${altNames}`);
    this.#openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const signed = ['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'];
    this.#openssl(...signed, '-days', String(days), '-extfile', 'extensions', '-out', `${name}.crt`);
    return { cert: this.#file(`${name}.crt`), key: this.#file(`${name}.key`) };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.#folder, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
