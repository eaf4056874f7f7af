"""An image becomes a PNG."""

import io

from PIL import Image
from shop.image import ImageParser


async def test_an_image_becomes_a_png():
    source = io.BytesIO()
    Image.new("L", (64, 64)).save(source, "GIF")
    parsed = await ImageParser().parse(source.getvalue())
    assert parsed.startswith(b"\x89PNG")
