"""A stream of speech becomes a file."""

from shop.save import save_stream


async def test_a_stream_becomes_a_file(tmp_path):
    async def stream():
        yield b"a"
        yield b"b"

    await save_stream(stream(), tmp_path / "speech")
    assert (tmp_path / "speech").read_bytes() == b"ab"
