import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { LeaderOnly, LeaderService } from 'nestjs-dist-lock';

/** On the other replicas every route answers 503, and the header X-Leader says who leads. */
@Controller('admin')
@LeaderOnly()
export class AdminController {
  constructor(private readonly leader: LeaderService) {}

  @Get('term')
  term(): { number: number } {
    return { number: this.leader.assertLeader().number };
  }

  /** Lets another replica lead, as soon as this request has ended: it is leader work itself, so it must not wait. */
  @Post('resign')
  @HttpCode(202)
  resign(): void {
    void this.leader.resign();
  }
}
