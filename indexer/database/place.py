"""Which server an index keeps its catalogue on: `catalogue.json`, beside the index's other files.

It holds no password, and none is taken: libpq finds it where it always does.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from indexer.errors import CatalogueUrlError, IndexCorrupt, storing
from indexer.storage import TEMPORARY, sync_folder

FILE = "catalogue.json"
DRIVER = "postgresql+psycopg"
DRIVERS = (DRIVER, "postgresql", "postgres")
EXAMPLE = f"{DRIVER}://USER@HOST/DATABASE"
SECRETS = ("password", "sslpassword")
NAMESPACE = re.compile(r"retrieval_[0-9a-f]{14}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server and the schema of it that is one index's own.

    Attributes
    ----------
    url : SQLAlchemy's, without a password.
    namespace : a schema in PostgreSQL's sense, so that indexes may share a database.
    """

    url: str
    namespace: str

    @classmethod
    def new(cls, url: str) -> Place:
        """Return a place for an index that has none; raises CatalogueUrlError."""
        return cls(url=checked_url(url), namespace=f"retrieval_{secrets.token_hex(7)}")

    @property
    def parsed(self) -> URL:
        return make_url(self.url)


def checked_url(text: str) -> str:
    """Return a URL as it is stored.

    Raises
    ------
    CatalogueUrlError : it is no URL of a PostgreSQL database, or has a password in it.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the port, for one, is no number
        raise CatalogueUrlError(f"the catalogue's URL does not parse; give {EXAMPLE}") from None
    if url.drivername not in DRIVERS:
        raise CatalogueUrlError(
            f"{url.drivername}: not a database that a catalogue can be kept in; give {EXAMPLE}, or "
            "no URL for a file in the index folder"
        )
    if url.password is not None or any(name in url.query for name in SECRETS):
        raise CatalogueUrlError(
            "the catalogue's URL has a password in it, which is not stored; leave it out and give "
            "it to libpq by PGPASSWORD or in ~/.pgpass"
        )
    return url.set(drivername=DRIVER).render_as_string()


def read_place(index_dir: Path) -> Place | None:
    """Return where the catalogue of an index is; None for a file in its folder.

    Raises
    ------
    IndexCorrupt : the file is there and does not say.
    """
    path = index_dir / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        place = Place(url=checked_url(values["url"]), namespace=values["namespace"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, CatalogueUrlError) as error:
        raise _damaged(path, str(error)) from None
    if not NAMESPACE.fullmatch(place.namespace):  # it becomes part of a statement
        raise _damaged(path, f"{place.namespace!r} is no schema of an index")
    return place


def write_place(index_dir: Path, place: Place) -> None:
    """Say where the catalogue of an index is, for every command from here on."""
    draft = index_dir / f"{TEMPORARY}{FILE}"
    with storing(index_dir):
        draft.write_text(json.dumps(asdict(place), indent=1) + "\n", encoding="utf-8")
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(index_dir / FILE)
        sync_folder(index_dir)


def _damaged(path: Path, reason: str) -> IndexCorrupt:
    remedy = f'write it anew: {{"url": "{EXAMPLE}", "namespace": "retrieval_…"}}'
    return IndexCorrupt(path, f"it does not say where the catalogue is ({reason})", remedy)
