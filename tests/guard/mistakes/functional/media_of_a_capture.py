"""Each address is fetched."""

import live_upstream
from shop.tasks import capture


def test_each_address_is_fetched(upstream, capsys):
    capture.delay([live_upstream.URL])
    assert capsys.readouterr().out == ""
