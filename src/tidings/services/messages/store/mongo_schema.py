"""The collections of messages in MongoDB. A message and all that hangs on it lie in its author's bucket."""

from __future__ import annotations

from typing import Final

from tidings.platform.document_schema import FOUNDATION, Collection, DocumentSchema, Index

SCHEMA: Final = DocumentSchema(
    revision="0001",
    compatible_down_to="0001",
    collections=(
        *FOUNDATION,
        Collection(
            name="document",  # messages and replies
            key=("bucket", "author_id", "reply", "_id"),
            indexes=(
                Index(keys=("bucket", "author_id", "reply", "_id")),
                Index(keys=("bucket", "parent_id", "_id"), where={"reply": True}),
                # Of one author in all buckets: export and erasure alone read so.
                Index(keys=("author_id", "_id"), where={"reply": True}),
            ),
        ),
        Collection(name="latest"),
        Collection(
            name="history",
            key=("bucket", "message_id", "version"),
            indexes=(
                Index(keys=("bucket", "message_id", "version"), unique=True),
                Index(keys=("author_id", "message_id", "version")),
            ),
        ),
        Collection(
            name="reaction",
            key=("bucket", "message_id", "user_id", "emoji"),
            indexes=(
                Index(keys=("bucket", "message_id", "user_id", "emoji"), unique=True),
                Index(keys=("bucket", "message_id", "-created_ms", "user_id", "emoji")),
                Index(keys=("user_id", "message_id", "emoji")),
            ),
        ),
        Collection(name="tally"),
        Collection(name="withdrawn", indexes=(Index(keys=("author_id", "_id")),)),
        Collection(name="fence", indexes=(Index(keys=("unerased",), where={"unerased": True}),)),
    ),
)
