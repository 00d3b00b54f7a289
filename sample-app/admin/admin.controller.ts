import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { LeaderOnly, LeaderService } from 'nestjs-dist-lock';

/** On the other replicas every route answers 503, and the header X-Leader has the URL of the leader. */
@Controller('admin')
@LeaderOnly()
export class AdminController {
  constructor(private readonly leader: LeaderService) {}

  @Get('term')
  term(): { number: number } {
    return { number: this.leader.assertLeader().number };
  }

  /**
   * Lets another replica lead. The request is leader work, so the hand-over waits for its end. The request itself must
   * not wait for the hand-over.
   */
  @Post('resign')
  @HttpCode(202)
  resign(): void {
    void this.leader.resign();
  }
}
