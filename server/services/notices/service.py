"""The NoticeService: what tenants were told, what they would be, and telling them once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from callgate.v1 import notices_pb2 as pb
from server.access import current, find_tenant_by_id
from server.archive import Archive
from server.calls.messages import fields as limits
from server.facts import FactsInUse
from server.notices.examples import example
from server.notices.history import ListedNotice, list_notices, resend
from server.notices.preferences import settings_of
from server.notices.rendering import event_body, render, tenant_key
from server.services.notices import messages as wire
from server.storage.sql.audit import Audited, AuditTrail
from server.transport.contract import Context


@dataclass(frozen=True, slots=True)
class Notices:
    """Answers what `notices.proto` promises. `webhook_key` makes what tenants' keys are made of."""

    archive: Archive
    facts: FactsInUse
    audit: AuditTrail
    now_ms: Callable[[], int]
    webhook_key: Callable[[], bytes]

    async def list_notices(
        self, request: pb.ListNoticesRequest, _context: Context
    ) -> pb.ListNoticesResponse:
        """List a tenant's notices, the newest first."""
        tenant_id = self._tenant(request.tenant_id)
        size, before = limits.page_size(request.page_size), wire.page_begin(request.page_token)
        found = await self.archive.database.read(
            lambda c: list_notices(c, tenant_id, before=before, limit=size + 1)
        )
        page = found[:size]
        return pb.ListNoticesResponse(
            notices=map(wire.notice, page),
            next_page_token=wire.page_token(page[-1]) if len(found) > size else "",
        )

    async def preview_notice(
        self, request: pb.PreviewNoticeRequest, _context: Context
    ) -> pb.PreviewNoticeResponse:
        """Write a notice as it would be sent."""
        self._tenant(request.tenant_id)
        tenant = find_tenant_by_id(request.tenant_id, self.facts.current.directory)
        settings = settings_of(tenant)
        told = example(
            wire.kind(request.kind),
            tenant.tenant_id,
            settings,
            currency=tenant.currency,
            now_ms=self.now_ms(),
        )
        told = replace(told, language=wire.language(request.language) or told.language)
        rendered = render(told)
        return pb.PreviewNoticeResponse(
            recipients=settings.recipients,
            webhook_url=settings.webhook_url,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            event=event_body(told).decode(),
        )

    async def resend_notice(
        self, request: pb.ResendNoticeRequest, _context: Context
    ) -> pb.ResendNoticeResponse:
        """Send a notice once more."""
        tenant_id = self._tenant(request.tenant_id)
        notice_id = wire.notice_id(request.notice_id)
        who, now_ms = current().identity_id, self.now_ms()
        what = Audited("ResendNotice", f"tenants/{tenant_id}/notices/{notice_id}", tenant_id)

        def work(connection: Connection) -> ListedNotice:
            listed = resend(connection, tenant_id, notice_id, now_ms=now_ms)
            number = listed.deliveries[-1].round
            self.audit.record(connection, who, what, before=None, after={"round": number})
            return listed

        return pb.ResendNoticeResponse(notice=wire.notice(await self.archive.database.write(work)))

    async def get_webhook_key(
        self, request: pb.GetWebhookKeyRequest, _context: Context
    ) -> pb.GetWebhookKeyResponse:
        """Tell a tenant's own key."""
        tenant_id = self._tenant(request.tenant_id)
        return pb.GetWebhookKeyResponse(key=tenant_key(self.webhook_key(), tenant_id).text)

    def _tenant(self, asked: str) -> str:
        """Check a tenant that the caller may ask about. Raises `TenantForbidden`."""
        tenant_id = limits.tenant_id(asked)
        return find_tenant_by_id(tenant_id, self.facts.current.directory).tenant_id
