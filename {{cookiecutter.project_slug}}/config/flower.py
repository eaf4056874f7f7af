"""What Flower is told (`celery -A config flower --conf=config/flower.py`)."""

from config.env import load

_env = load()
if not _env.flower_password:
    raise SystemExit("FLOWER_PASSWORD is missing: Flower can stop workers, so it does not start without one")

# Default: every interface. Put a proxy in front to reach it from elsewhere.
address = "127.0.0.1"
port = _env.flower_port
basic_auth = [f"admin:{_env.flower_password}"]
url_prefix = _env.flower_prefix
# Default: random at each start, which logs everybody out.
cookie_secret = _env.secret_key
# Default 100,000: the "memory leak" (mher/flower #1305).
max_tasks = 5000
# Seconds; dead workers would stay for ever.
purge_offline_workers = 60
