"""One transaction: every method of ports.Tx, by area."""

from __future__ import annotations

from controller.adapters.store.tx_controller import ControllerTx
from controller.adapters.store.tx_desired import DesiredTx
from controller.adapters.store.tx_emergencies import EmergenciesTx
from controller.adapters.store.tx_incidents import IncidentsTx
from controller.adapters.store.tx_journal import JournalTx
from controller.adapters.store.tx_ledger import LedgerTx
from controller.adapters.store.tx_nodes import NodesTx
from controller.adapters.store.tx_outbox import OutboxTx
from controller.adapters.store.tx_people import PeopleTx
from controller.adapters.store.tx_selftests import SelftestsTx


class SqlTx(
    ControllerTx, DesiredTx, LedgerTx, JournalTx, EmergenciesTx, NodesTx, SelftestsTx, IncidentsTx, OutboxTx, PeopleTx
):
    """ports.Tx over one SQLAlchemy connection that has begun a transaction."""
