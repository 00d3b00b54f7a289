import { Controller, Get, Header } from '@nestjs/common';
import { LeaderOnly, LeaderService, type Member } from 'nestjs-dist-lock';

/** The members of the election, on the leader. The other replicas redirect the browser to it. */
@Controller('leader')
@LeaderOnly({ otherwise: 'redirect' })
export class LeaderPageController {
  constructor(private readonly leader: LeaderService) {}

  @Get()
  @Header('Content-Type', 'text/html; charset=utf-8')
  async page(): Promise<string> {
    const { number } = this.leader.assertLeader();
    const rows = (await this.leader.members()).map(toRow).join('');
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="1">
<title>${escaped(this.leader.self.id)} leads</title>
<style>
  body { font: 16px system-ui, sans-serif; margin: 3em auto; max-width: 40em }
  td, th { padding: .3em 1em .3em 0; text-align: left }
  .leader { font-weight: bold }
</style>
</head>
<body>
<h1>★ ${escaped(this.leader.self.id)} leads</h1>
<p>Term ${number}. Stop it, or let another lead: <code>curl -X POST ${escaped(this.leader.self.url ?? '')}/admin/resign</code></p>
<table><tr><th>Replica</th><th>Role</th><th>Joined</th></tr>${rows}</table>
</body>
</html>`;
  }
}

function toRow({ id, url, role, joinedAt }: Member): string {
  const name = url ? `<a href="${escaped(url)}/status">${escaped(id)}</a>` : escaped(id);
  return `<tr class="${role}"><td>${name}</td><td>${role}</td><td>${new Date(joinedAt).toLocaleTimeString()}</td></tr>`;
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
