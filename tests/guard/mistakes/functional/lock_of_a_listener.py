"""The listener listens."""

from shop.tasks import event_listener


def test_the_listener_listens(capsys):
    event_listener.delay()
    assert capsys.readouterr().out == "listening\n"
