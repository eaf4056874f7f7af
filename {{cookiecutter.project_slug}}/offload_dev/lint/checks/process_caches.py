"""Caches that live in the process: nothing waits for them, and other processes do not see them."""

from offload_dev.lint.functions.function import CallSite, Function


def is_default_in_process(call: CallSite, function: Function) -> bool:
    """Whether the settings know one default cache, which lives in the process, or none at all."""
    facts = function.resolver.facts
    return call.origin.startswith("django.core.cache.cache.") and (
        function.resolver.settings.has_no_caches
        or ("default" in facts.local_caches and not facts.has_remote_default_cache)
    )
