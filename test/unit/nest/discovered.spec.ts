import { Controller, Injectable, Module, Scope } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { type Discovered, discovered, discoveredProviders } from '../../../lib/nest/discovered.js';

@Injectable()
class Shared {}

@Injectable({ scope: Scope.REQUEST })
class OfRequest {}

@Injectable()
class BelowRequest {
  constructor(readonly request: OfRequest) {}
}

@Injectable({ scope: Scope.TRANSIENT })
class Transient {}

@Controller()
class Page {}

const value = new Shared();

@Module({
  imports: [DiscoveryModule],
  controllers: [Page],
  providers: [
    Shared,
    OfRequest,
    BelowRequest,
    Transient,
    { provide: 'alias', useExisting: Shared },
    { provide: 'value', useValue: value },
    { provide: 'arrow', useFactory: () => value },
    { provide: 'text', useValue: 'text' },
  ],
})
class App {}

describe('the walk over providers and controllers', async () => {
  const application = await Test.createTestingModule({ imports: [App] }).compile();
  const discovery = application.get(DiscoveryService);
  const found = discovered(discovery);
  const of = (type: object): Discovered => found.find((one) => one.type === type)!;

  it('visits providers first, then controllers', () => {
    const types = found.map(({ type }) => type);
    expect(types.lastIndexOf(BelowRequest)).toBeLessThan(types.indexOf(Page));
    expect(types.filter((type) => type === Page)).toHaveLength(1);
    expect(discoveredProviders(discovery).map(({ type }) => type)).not.toContain(Page);
  });

  it('knows no class of values and of factories, which Nest does not construct', () => {
    const foreign = found.filter(({ instance }) => instance === value);
    expect(foreign).toHaveLength(2);
    for (const { type, isStatic } of foreign) expect({ type, isStatic }).toEqual({ type: undefined, isStatic: true });
  });

  it('shows one instance under each of its names', () => {
    const instance = application.get(Shared);
    expect(found.filter((one) => one.instance === instance)).toHaveLength(2);
  });

  it('shows no instance of what is no object', () => {
    expect(found.some(({ instance }) => typeof instance === 'string')).toBe(false);
  });

  it.each([
    [Shared, true, true],
    [Page, true, true],
    [OfRequest, false, false],
    [BelowRequest, false, false],
    [Transient, true, false],
  ])('knows the scope of %o', (type, isStatic, isShared) => {
    expect(of(type)).toMatchObject({ isStatic, isShared });
  });
});
