"""A folder as an archive, for an engine that can't see this machine's files."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from console.verbs import calling
from engine.protocol.ignore import IgnoreError, entries


@contextmanager
def packed(folder: Path) -> Iterator[BinaryIO]:
    """A tar.gz of what belongs into a snapshot of `folder`, from its start; gone afterwards."""
    with tempfile.TemporaryFile() as archive:
        try:
            with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=3) as tar:
                for path, item in entries(folder):
                    tar.add(item.path, path, recursive=False)
        except (IgnoreError, OSError) as error:
            calling.fail(f"--snapshot {folder}: {error}")
        archive.seek(0)
        yield archive
