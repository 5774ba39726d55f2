"""The documents that are made from the code are those that the code makes today."""

from __future__ import annotations

from pathlib import Path

from tidings.cli.documents import write_documents

DOCS = Path(__file__).parents[2] / "docs"


def test_the_map_and_the_api_document_are_up_to_date(tmp_path: Path) -> None:
    written = write_documents(tmp_path)
    assert {path.name for path in written} == {"map.md", "openapi.json"}
    for path in written:
        assert (DOCS / path.name).read_text() == path.read_text(), f"run `make docs`: docs/{path.name} is old"
