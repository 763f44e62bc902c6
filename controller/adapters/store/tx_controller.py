"""The controller's own state: epoch, leadership, notes, audit trail, node credentials."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import case, delete, insert, select, text

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, insert_into, upsert
from controller.adapters.store.tx_base import TxBase
from controller.domain.lease import Lease
from controller.ports import AuditRow, Credential

AUDIT = Mapped(schema.audit, AuditRow)
CREDENTIALS = Mapped(schema.credentials, Credential)


class ControllerTx(TxBase):
    def damage(self) -> str:
        if self.dialect != "sqlite":
            return ""
        found = list(self.conn.execute(text("PRAGMA quick_check(3)")).scalars())
        return "" if found == ["ok"] else "; ".join(map(str, found))[:300]

    def raise_epoch(self, above: int = 0) -> int:
        kept = schema.epoch.c.epoch
        first = insert_into(schema.epoch, self.dialect).values(id=1, epoch=above + 1)
        higher = case((kept > above, kept + 1), else_=above + 1)
        raised = first.on_conflict_do_update(index_elements=["id"], set_={"epoch": higher}).returning(kept)
        return int(self.conn.execute(raised).scalar_one())

    def epoch(self) -> int:
        return int(self.conn.execute(select(schema.epoch.c.epoch)).scalar_one_or_none() or 0)

    def lease(self) -> Lease | None:
        row = self.conn.execute(select(schema.lease.c.holder, schema.lease.c.until)).first()
        return Lease(row.holder, row.until) if row else None

    def put_lease(self, lease: Lease) -> None:
        upsert(self.conn, schema.lease, [{"id": 1, "holder": lease.holder, "until": lease.until}])

    def drop_lease(self, holder: str) -> None:
        self.conn.execute(delete(schema.lease).where(schema.lease.c.holder == holder))

    def note(self, key: str, value: str) -> None:
        upsert(self.conn, schema.notes, [{"key": key, "value": value}])

    def noted(self, key: str) -> str | None:
        value = select(schema.notes.c.value).where(schema.notes.c.key == key)
        return self.conn.execute(value).scalar_one_or_none()

    def audit(self, row: AuditRow) -> None:
        values = AUDIT.values(row)
        del values["id"]
        self.conn.execute(insert(schema.audit), values)

    def audits(self, limit: int = 100, what: Collection[str] = ()) -> list[AuditRow]:
        rows = AUDIT.select().order_by(schema.audit.c.id.desc()).limit(limit)
        return AUDIT.all(self.conn, rows.where(schema.audit.c.what.in_(sorted(what))) if what else rows)

    def put_credential(self, row: Credential) -> None:
        CREDENTIALS.put(self.conn, [row])

    def drop_credential(self, node: str) -> None:
        self.conn.execute(delete(schema.credentials).where(schema.credentials.c.node == node))

    def credential(self, node: str) -> Credential | None:
        return CREDENTIALS.first(self.conn, CREDENTIALS.select().where(schema.credentials.c.node == node))

    def credentials(self) -> list[Credential]:
        return CREDENTIALS.all(self.conn, CREDENTIALS.select().order_by(schema.credentials.c.node))
