import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { type Order, OrderStore } from './order-store.js';
import { type ChargeResult, OrdersService } from './orders.service.js';

@Controller('orders')
export class OrdersController {
  constructor(
    private readonly service: OrdersService,
    private readonly orders: OrderStore,
  ) {}

  @Post(':id/charge')
  @HttpCode(200)
  charge(@Param('id') id: string): Promise<ChargeResult> {
    return this.service.charge(id);
  }

  @Get(':id')
  find(@Param('id') id: string): Promise<Order> {
    return this.orders.find(id);
  }
}
