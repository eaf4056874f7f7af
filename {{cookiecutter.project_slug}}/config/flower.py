"""The configuration of Flower (`celery -A config flower --conf=config/flower.py`)."""

from flower.views.monitor import Metrics
from tornado.web import authenticated

from config.env import load

_env = load()
if not _env.flower_password:
    raise SystemExit(
        "FLOWER_PASSWORD is missing: set it. Flower can stop workers, so it needs a password."
    )

# Flower asks nobody for the password here: the names of workers and tasks, and how long they take.
Metrics.get = authenticated(Metrics.get)

# The default is every interface. A proxy in front makes Flower reachable from elsewhere.
address = "127.0.0.1"
port = _env.flower_port
basic_auth = [f"admin:{_env.flower_password}"]
url_prefix = _env.flower_prefix
# The default is random at each start, which logs everybody out.
cookie_secret = _env.secret_key
# The default is 100,000: that many tasks in memory are reported as a leak (mher/flower #1305).
max_tasks = 5000
# In seconds. By default dead workers are shown for ever.
purge_offline_workers = 60
