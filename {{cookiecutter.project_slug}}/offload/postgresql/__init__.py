"""Django's PostgreSQL backend with limits. A service sets `ENGINE = "offload.postgresql"`."""
