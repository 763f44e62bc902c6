"""The schema's history (Alembic). Forward only: the way back is the backup made before."""
