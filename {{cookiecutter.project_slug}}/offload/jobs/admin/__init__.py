"""Jobs in Django's admin. Django imports this package, and each module registers its pages."""

from offload.jobs.admin import fleet, jobs, operations

__all__ = ["fleet", "jobs", "operations"]
