import { Injectable, type OnModuleInit } from '@nestjs/common';
import { type LeadershipState, LeaderService } from 'nestjs-dist-lock';
import { Replica } from '../replica.js';

/** Tells who leads, as this replica sees it. */
@Injectable()
export class LeadershipLog implements OnModuleInit {
  constructor(
    private readonly leader: LeaderService,
    private readonly replica: Replica,
  ) {}

  onModuleInit(): void {
    this.leader.state$.subscribe((state) => this.tell(state));
  }

  private tell({ role, term, leader, reason }: LeadershipState): void {
    if (term) this.replica.announce(`★ leads (term ${term.number})`);
    else if (role === 'stepping-down') this.replica.announce(`☆ hands over: ${reason}`);
    else if (leader) this.replica.tell(`follows ${leader.id}`);
  }
}
