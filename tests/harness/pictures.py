"""Pictures for tests."""

from __future__ import annotations

import io
import secrets
from typing import Any

from PIL import Image


def picture(width: int = 64, height: int = 48, *, format: str = "PNG", **more: Any) -> bytes:
    """A picture in one colour that no other has; `more` is said to whoever writes it."""
    colour = tuple(secrets.token_bytes(3))
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, format, **more)
    return out.getvalue()


def opened(content: bytes) -> Image.Image:
    """A picture as it was served."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
