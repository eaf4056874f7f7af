"""Checks at a worker's start how Redis behaves when its memory is full."""

import logging

import redis

from offload.conf import conf
from offload.redis_answers import strict_answers

logger = logging.getLogger("offload.jobs")

# Seconds to connect and to wait for an answer.
REDIS_TIMEOUT_SECONDS = 2.0


def check_redis_policy() -> None:
    """Warn of a Redis that drops messages when its memory is full. A managed one may not tell."""
    try:
        with (
            strict_answers(),
            redis.Redis.from_url(
                conf().redis_url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            ) as client,
        ):
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.RedisError as error:
        logger.info(
            "Redis does not tell its maxmemory-policy; see that it is noeviction: %s", error
        )
        return

    if policy != "noeviction":
        logger.warning(
            "Redis has maxmemory-policy %s and may drop messages: set it to noeviction", policy
        )
