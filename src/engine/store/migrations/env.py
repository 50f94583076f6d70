"""What Alembic runs. The connection, and the transaction around everything, come from `upgrade`."""

from alembic import context
from sqlmodel import SQLModel

import engine.store.tables  # noqa: F401 - fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
