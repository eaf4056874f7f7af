"""The events of a capture are counted."""

from shop.server import load_file


async def test_events_are_counted(tmp_path):
    file = tmp_path / "a.xml"
    file.write_text("<all><event><a>1</a></event><event/></all>")
    assert await load_file(str(file)) == "2 events"
